// meshgatectl's command line as values: each command's arguments are the request it will send.
#ifndef MESHGATE_CLIENT_CTL_ARGS_H_
#define MESHGATE_CLIENT_CTL_ARGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/tls.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::ctl {

enum class Format { kText, kJson };

struct GetArgs {
  v1::GetConfigRequest request;
};
struct PutArgs {
  // Without the value, which comes from `source`.
  v1::PutConfigRequest request;
  // The value itself, "-" for standard input, or "@FILE".
  std::string source;
};
struct DelArgs {
  v1::DeleteConfigRequest request;
};
struct ListArgs {
  v1::ListConfigRequest request;
};
struct CommitArgs {
  // Without the operations, which come from `source`.
  v1::CommitConfigRequest request;
  // "-" for standard input, or a file's path.
  std::string source;
};
struct WatchArgs {
  std::variant<v1::WatchConfigRequest, v1::WatchServiceRequest> request;
  // End after so many states; 0 means never.
  uint64_t count = 0;
  bool reconnect = true;
};
struct RegisterArgs {
  v1::RegisterRequest request;
};
struct HoldArgs {
  v1::RegisterRequest request;
  // Zero: the gateway's.
  absl::Duration linger;
  bool reconnect = true;
};
struct DeregisterArgs {
  v1::DeregisterRequest request;
};
struct HeartbeatArgs {
  v1::HeartbeatRequest request;
};
struct DiscoverArgs {
  v1::DiscoverRequest request;
};
struct ServicesArgs {
  v1::ListServicesRequest request;
};
// Prints `text` and does nothing else.
struct HelpArgs {
  std::string text;
};

using CommandArgs = std::variant<GetArgs, PutArgs, DelArgs, ListArgs, CommitArgs, WatchArgs, RegisterArgs, HoldArgs,
                                 DeregisterArgs, HeartbeatArgs, DiscoverArgs, ServicesArgs, HelpArgs>;

struct Invocation {
  // As the user named it, for messages.
  std::string name;
  std::string endpoint;
  // Plain text without.
  std::optional<client::TlsOptions> tls;
  std::string tls_server_name;
  // Empty: not given.
  std::string token_file;
  // Send a token in plain text, to another host, too.
  bool insecure_token = false;
  absl::Duration timeout;
  Format format = Format::kText;
  CommandArgs command;
};

// `args` without the program's name; `default_endpoint` where --endpoint is not given. INVALID_ARGUMENT says what is
// wrong and which --help to read.
absl::StatusOr<Invocation> ParseArguments(const std::vector<std::string>& args, const std::string& default_endpoint);

// A part of a commit, PutArgs or DelArgs: the words of a put or a del, without the options of every command.
// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<CommandArgs> ParseOperation(const std::vector<std::string>& words);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_ARGS_H_
