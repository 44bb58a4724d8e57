// Which token a run of meshgatectl sends.
#ifndef MESHGATE_CLIENT_CTL_TOKEN_H_
#define MESHGATE_CLIENT_CTL_TOKEN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/ctl/args.h"
#include "client/token.h"

namespace meshgate::ctl {

// A variable of the environment; nullopt where it is not set.
using Variables = std::function<std::optional<std::string>(const char* name)>;

// The first of --no-token, --token-file, MESHGATE_TOKEN_FILE, MESHGATE_TOKEN, CONSUL_HTTP_TOKEN_FILE and
// CONSUL_HTTP_TOKEN that is given; null where none is, with --no-token, and where MESHGATE_TOKEN is set and empty.
// Other empty variables are as good as none. An error says what to do: the token cannot be had, or would go to another
// host in plain text.
absl::StatusOr<std::shared_ptr<client::TokenSource>> ChooseToken(const Invocation& invocation,
                                                                 const Variables& variables);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_TOKEN_H_
