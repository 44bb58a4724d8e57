// Which token a run of meshgatectl sends.
#ifndef MESHGATE_CLIENT_CTL_TOKEN_H_
#define MESHGATE_CLIENT_CTL_TOKEN_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/ctl/args.h"
#include "client/token.h"

namespace meshgate::ctl {

// A variable of the environment, empty where it is not set.
using Variables = std::function<std::string(const char* name)>;

// The first of --token-file, MESHGATE_TOKEN_FILE, MESHGATE_TOKEN, CONSUL_HTTP_TOKEN_FILE and CONSUL_HTTP_TOKEN that is
// given; null where none is. An error says what to do: the token cannot be had, or would go to another host in plain
// text.
absl::StatusOr<std::shared_ptr<client::TokenSource>> ChooseToken(const Invocation& invocation,
                                                                 const Variables& variables);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_TOKEN_H_
