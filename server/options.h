// What an operator can set, and where it was set.
#ifndef MESHGATE_SERVER_OPTIONS_H_
#define MESHGATE_SERVER_OPTIONS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/check_allow_list.h"
#include "server/log.h"

namespace meshgate::server {

enum class BackendKind { kEmbedded, kConsul };

// Who callers are, and who says what they may do: nobody asks; Consul, by the ACL token that each one brings; a list of
// the gateway's own, by the certificate that each one shows.
enum class AuthMode { kNone, kConsul, kMtls };

// Settings of one process. What each one means is said once, in the table of options.cc that --help and the README's
// table are made from.
struct Options {
  BackendKind backend = BackendKind::kEmbedded;
  std::string data_dir;  // ParseOptions() fills in the default, which depends on the environment.

  std::vector<std::string> grpc_listen = {"127.0.0.1:50051"};
  // Together a minute and a half until a peer that has vanished is let go: less than most networks forget an idle
  // connection in, and 10,000 connections cost 170 pings a second.
  absl::Duration grpc_keepalive_time = absl::Seconds(60);
  absl::Duration grpc_keepalive_timeout = absl::Seconds(20);
  // Zero: whatever its age.
  absl::Duration grpc_max_connection_age = absl::ZeroDuration();
  absl::Duration grpc_max_connection_age_grace = absl::Seconds(10);
  int grpc_threads = 0;  // 0: one per CPU.
  std::string grpc_tls_cert_file;
  std::string grpc_tls_key_file;
  std::string grpc_tls_client_ca_file;
  std::string http_listen = "127.0.0.1:8080";
  // Whether HTTP serves the API, beside probes and metrics.
  bool http_api = true;
  // Whether that includes Consul's own.
  bool http_consul_api = true;
  // 0: an eighth of the process's descriptors, at most 16,384.
  int http_max_connections = 0;
  // Of pages that may call the API from a browser; empty: none.
  std::vector<std::string> http_cors_origins;
  std::string http_tls_cert_file;
  std::string http_tls_key_file;
  std::string http_tls_client_ca_file;

  // ParseOptions() sets it: kNone where it is not given and nobody but this host is listened to.
  std::optional<AuthMode> auth;
  // Readers notice an outage of Consul by `stale` within seconds; most restarts and elections are over by then.
  absl::Duration auth_grace = absl::Seconds(60);
  std::string auth_mtls_file;

  // What callers may use, each and together; 0: no limit. A stream costs 2 to 20 KiB, a target what it holds and a
  // share of a query. A process that watches a thousand keys for each of ten users stays far below.
  int limit_caller_streams = 100'000;
  int limit_caller_targets = 20'000;
  int limit_caller_requests = 0;
  int limit_streams = 250'000;
  int limit_targets = 100'000;
  int limit_requests = 0;

  // One or, with commas, several.
  std::string consul_address = "http://127.0.0.1:8500";
  // From CONSUL_HTTP_TOKEN alone: a secret has no place on a command line. consul_token_file wins over it.
  std::string consul_token;
  std::string consul_token_file;
  std::string consul_ca_file;
  std::string consul_cert_file;
  std::string consul_key_file;
  bool consul_tls_verify = true;
  int consul_max_connections = 160;
  // Shorter than Consul's own 5 minutes: over HTTP/1.1 a query that nobody needs any more holds its connection until
  // its wait ends.
  absl::Duration consul_wait = absl::Seconds(30);

  // ParseOptions() sets it where it is not given: this host's own addresses while nobody but this host is listened to
  // and Consul is there too, otherwise nothing.
  std::optional<consul::CheckAllowList> check_allow;

  absl::Duration watch_linger = absl::Seconds(30);
  // A reader that does not take messages for a minute keeps its stream. A whole process that has stopped does not
  // answer pings either, and is let go by --grpc_keepalive_timeout.
  absl::Duration watch_write_timeout = absl::Minutes(2);
  absl::Duration drain_timeout = absl::Seconds(5);
  absl::Duration drain_delay = absl::Milliseconds(500);

  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;

  int worker_threads = 0;  // 0: one per CPU, at least two.
};

struct CommandLine {
  enum class Action { kRun, kHelp, kHelpMarkdown, kVersion };
  Action action = Action::kRun;
  Options options;  // For kRun.
};

// Whether nobody but this host can reach an address as --grpc_listen takes it.
bool IsLoopback(const std::string& address);

// A variable of the environment; nullopt where it isn't set. An empty variable counts as not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The process's own.
Environment ProcessEnvironment();

// Reads the settings. Of the sources that set one, the first of these wins: flag, MESHGATE_* variable, YAML file
// (--config), Consul's own variable (CONSUL_HTTP_ADDR and the like), default. `args` is without the program's name.
//
// INVALID_ARGUMENT: one line for every setting that is wrong, each with the source it came from and what is allowed. A
// wrong value is an error where a better source overrides it, too. Consul's own variables are looked at for
// --backend=consul only.
absl::StatusOr<CommandLine> ParseOptions(const std::vector<std::string>& args, const Environment& environment);

// Those of `names`, the environment's, that begin like ours and set nothing: most likely misspelt.
std::vector<std::string> UnknownVariables(const std::vector<std::string>& names);

// The text of --help.
std::string HelpText();

// The same table for the README.
std::string HelpMarkdown();

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_OPTIONS_H_
