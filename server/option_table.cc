#include "server/option_table.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "consul/base/strings.h"

namespace meshgate::server {
namespace {

using Setter = std::function<std::string(const std::string&, Options*)>;
constexpr char kOk[] = "";

constexpr int kMostStreams = 10'000'000;
// More than a machine makes.
constexpr int kMostRequests = 10'000'000;

Setter Text(std::string Options::*member) {
  return [member](const std::string& text, Options* o) -> std::string {
    if (absl::StripAsciiWhitespace(text).empty()) return "a name or path that is not empty";
    o->*member = text;
    return kOk;
  };
}

template <typename T>
Setter OneOf(T Options::*member, std::vector<std::pair<std::string, T>> values) {
  return [member, values = std::move(values)](const std::string& text, Options* o) -> std::string {
    std::vector<std::string> names;
    for (const auto& [name, value] : values) {
      if (name == text) {
        o->*member = value;
        return kOk;
      }
      names.push_back(name);
    }
    return absl::StrCat("one of ", absl::StrJoin(names, ", "));
  };
}

Setter Duration(absl::Duration Options::*member, absl::Duration least, absl::Duration most) {
  return [=](const std::string& text, Options* o) -> std::string {
    absl::Duration d;
    if (!absl::ParseDuration(text, &d) || d < least || d > most) {
      return absl::StrCat("a duration between ", absl::FormatDuration(least), " and ", absl::FormatDuration(most),
                          " with its unit, such as 30s or 1m30s");
    }
    o->*member = d;
    return kOk;
  };
}

Setter Number(int Options::*member, int least, int most) {
  return [=](const std::string& text, Options* o) -> std::string {
    int n;
    if (!absl::SimpleAtoi(text, &n) || n < least || n > most) {
      return absl::StrCat("a whole number between ", least, " and ", most);
    }
    o->*member = n;
    return kOk;
  };
}

Setter Bool(bool Options::*member) {
  return [member](const std::string& text, Options* o) -> std::string {
    return absl::SimpleAtob(text, &(o->*member)) ? kOk : "true or false";
  };
}

// host:port, with an IPv6 host in brackets.
bool IsHostPort(absl::string_view s) {
  const size_t colon = s.rfind(':');
  int port;
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view host = s.substr(0, colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]") && host.size() > 2;
  if (!bracketed && host.find_first_of(":[]/@ \t") != absl::string_view::npos) return false;
  const absl::string_view digits = s.substr(colon + 1);
  return !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(digits, &port) && port <= 65535;
}

std::string SetGrpcListen(const std::string& text, Options* o) {
  std::vector<std::string> addresses;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    const bool socket = absl::StartsWith(part, "unix:") && part.size() > 5;
    if (!socket && !IsHostPort(part)) {
      return "HOST:PORT or unix:PATH, several with commas, such as 127.0.0.1:50051 or "
             "0.0.0.0:50051,unix:/run/meshgate.sock";
    }
    addresses.emplace_back(part);
  }
  o->grpc_listen = std::move(addresses);
  return kOk;
}

std::string SetHttpListen(const std::string& text, Options* o) {
  if (!IsHostPort(text)) return "HOST:PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080";
  o->http_listen = text;
  return kOk;
}

// "https://ui.example.com", as browsers send it in Origin.
bool IsOrigin(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "https://") && !absl::ConsumePrefix(&text, "http://")) return false;
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  });
}

std::string SetCorsOrigins(const std::string& text, Options* o) {
  std::vector<std::string> origins;
  for (absl::string_view one : absl::StrSplit(text, ',')) {
    one = absl::StripAsciiWhitespace(one);
    if (!IsOrigin(one)) {
      return "origins as browsers send them, several with commas, such as "
             "https://ui.example.com,http://localhost:3000; "
             "no \"*\", which is every page that somebody on this network opens";
    }
    origins.emplace_back(one);
  }
  o->http_cors_origins = std::move(origins);
  return kOk;
}

std::string SetHttpApi(const std::string& text, Options* o) {
  if (text != "on" && text != "off") return "one of on, off";
  o->http_api = text == "on";
  return kOk;
}

std::string SetHttpConsulApi(const std::string& text, Options* o) {
  if (text != "on" && text != "off") return "one of on, off";
  o->http_consul_api = text == "on";
  return kOk;
}

std::string SetAuth(const std::string& text, Options* o) {
  AuthMode mode;
  if (text == "none") {
    mode = AuthMode::kNone;
  } else if (text == "consul") {
    mode = AuthMode::kConsul;
  } else if (text == "mtls") {
    mode = AuthMode::kMtls;
  } else {
    return "one of none, consul, mtls";
  }
  o->auth = mode;
  return kOk;
}

std::string SetCheckAllow(const std::string& text, Options* o) {
  std::vector<std::string> entries;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    entries.emplace_back(absl::StripAsciiWhitespace(part));
  }
  if (entries == std::vector<std::string>{"none"}) entries.clear();
  absl::StatusOr<consul::CheckAllowList> list = consul::CheckAllowList::Parse(entries);
  if (!list.ok()) {
    return absl::StrCat(
        "none, or addresses, ranges without bits behind the prefix, host names and *.DOMAIN, several with commas, such "
        "as 10.1.0.0/16,web.example,*.svc.example: ",
        list.status().message());
  }
  o->check_allow = *std::move(list);
  return kOk;
}

// One address of Consul with its scheme; nullopt where it is none.
std::optional<std::string> ConsulUrl(absl::string_view text) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  absl::string_view scheme = "http://";
  if (absl::ConsumePrefix(&rest, "https://")) {
    scheme = "https://";
  } else {
    absl::ConsumePrefix(&rest, "http://");
  }
  absl::ConsumeSuffix(&rest, "/");
  const bool has_port = rest.rfind(':') != absl::string_view::npos && !absl::EndsWith(rest, "]");
  const std::string host_port =
      has_port ? std::string(rest) : absl::StrCat(rest, scheme == "https://" ? ":443" : ":80");
  if (!IsHostPort(host_port)) return std::nullopt;
  return absl::StrCat(scheme, rest);
}

std::string SetConsulAddress(const std::string& text, Options* o) {
  std::vector<std::string> urls;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::optional<std::string> url = ConsulUrl(part);
    if (!url.has_value()) {
      return "http://HOST:PORT or https://HOST:PORT, several with commas, such as http://127.0.0.1:8500";
    }
    urls.push_back(*url);
  }
  o->consul_address = absl::StrJoin(urls, ",");
  return kOk;
}

std::vector<OptionSpec> MakeTable() {
  const Options d;
  const auto text = [](absl::Duration value) { return absl::FormatDuration(value); };
  return {
      {"Store", "backend", "embedded|consul",
       "Where the data lives: in this process (durable in --data_dir, nothing else to install) or in Consul.",
       "embedded", nullptr, false,
       OneOf(&Options::backend, std::vector<std::pair<std::string, BackendKind>>{{"embedded", BackendKind::kEmbedded},
                                                                                 {"consul", BackendKind::kConsul}})},
      {"Store", "data_dir", "DIR",
       "Folder of the embedded store or, with Consul, of the last known states; made if it does not exist. One process "
       "at "
       "a time.",
       "$XDG_STATE_HOME/meshgate, or else ~/.local/state/meshgate, or without a home ./meshgate-data", nullptr, false,
       Text(&Options::data_dir)},

      {"Listening", "grpc_listen", "HOST:PORT[,...]",
       "Where gRPC listens; unix:PATH is a socket, port 0 any free port. Without --grpc_tls_cert_file calls are not "
       "encrypted: open it to a network that you trust only.",
       absl::StrJoin(d.grpc_listen, ","), nullptr, true, SetGrpcListen},
      {"Listening", "grpc_keepalive_time", "DURATION",
       "A connection that has been silent for so long is pinged, so that callers that have vanished are let go.",
       text(d.grpc_keepalive_time), nullptr, false,
       Duration(&Options::grpc_keepalive_time, absl::Seconds(1), absl::Hours(24))},
      {"Listening", "grpc_keepalive_timeout", "DURATION",
       "How long a peer may take to answer a ping, or its host to acknowledge what was sent, before its connection is "
       "closed.",
       text(d.grpc_keepalive_timeout), nullptr, false,
       Duration(&Options::grpc_keepalive_timeout, absl::Seconds(1), absl::Minutes(10))},
      {"Listening", "grpc_max_connection_age", "DURATION",
       "So old a connection is told to take its next calls to a new one, give or take a tenth, so that callers spread "
       "over the gateways behind a load balancer again; 0s: never.",
       text(d.grpc_max_connection_age), nullptr, false,
       Duration(&Options::grpc_max_connection_age, absl::ZeroDuration(), absl::Hours(24 * 365))},
      {"Listening", "grpc_max_connection_age_grace", "DURATION",
       "So long after that its calls are ended with UNAVAILABLE; readers come back and get what they have missed.",
       text(d.grpc_max_connection_age_grace), nullptr, false,
       Duration(&Options::grpc_max_connection_age_grace, absl::ZeroDuration(), absl::Hours(24))},
      {"Listening", "grpc_threads", "N", "Threads that serve gRPC connections; 0: one per CPU.", "0", nullptr, false,
       Number(&Options::grpc_threads, 0, 256)},
      {"Listening", "grpc_tls_cert_file", "FILE",
       "PEM certificate of the gRPC port, followed by those between it and the root: every address of --grpc_listen "
       "then speaks TLS, from "
       "version 1.2 on, and no plain text. Looked at each second, and used for new connections when it has changed.",
       "", nullptr, false, Text(&Options::grpc_tls_cert_file)},
      {"Listening", "grpc_tls_key_file", "FILE", "PEM key of --grpc_tls_cert_file, without a passphrase.", "", nullptr,
       false, Text(&Options::grpc_tls_key_file)},
      {"Listening", "grpc_tls_client_ca_file", "FILE",
       "PEM certificates of authorities: clients must show a certificate that one of them has signed (mutual TLS).", "",
       nullptr, false, Text(&Options::grpc_tls_client_ca_file)},
      {"Listening", "http_listen", "HOST:PORT",
       "Where HTTP listens: the JSON API (/api/v1/) and Consul's own (/v1/), unless --http_api=off, probes (/livez, "
       "/readyz) and /metrics.",
       d.http_listen, nullptr, false, SetHttpListen},
      {"Listening", "http_api", "on|off",
       "off: the HTTP port has probes and metrics alone, for whoever reaches it to read or write nothing.", "on",
       nullptr, false, SetHttpApi},
      {"Listening", "http_consul_api", "on|off",
       "off: programs that speak Consul's own API are not served at /v1/; the JSON API is.", "on", nullptr, false,
       SetHttpConsulApi},
      {"Listening", "http_max_connections", "N",
       "Most connections of the HTTP port, each stream and each poll being one; 0 is an eighth of the process's "
       "descriptors, at most 16384.",
       absl::StrCat(d.http_max_connections), nullptr, false, Number(&Options::http_max_connections, 0, 1'000'000)},
      {"Listening", "http_cors_origins", "ORIGIN[,ORIGIN...]",
       "Whose pages may call the API from a browser, such as https://ui.example.com. Without it a browser lets no page "
       "of another origin read an answer.",
       "", nullptr, false, SetCorsOrigins},
      {"Listening", "http_tls_cert_file", "FILE",
       "PEM certificate of the HTTP port, followed by those between it and the root: it then speaks TLS, from "
       "version 1.2 on, and no plain text. Looked at each second, and used for new connections when it has changed.",
       "", nullptr, false, Text(&Options::http_tls_cert_file)},
      {"Listening", "http_tls_key_file", "FILE", "PEM key of --http_tls_cert_file, without a passphrase.", "", nullptr,
       false, Text(&Options::http_tls_key_file)},
      {"Listening", "http_tls_client_ca_file", "FILE",
       "PEM certificates of authorities: clients must show a certificate that one of them has signed (mutual TLS).", "",
       nullptr, false, Text(&Options::http_tls_client_ca_file)},

      {"Listening", "auth", "none|consul|mtls",
       "Who may call, and what: none asks nobody; consul takes each caller's ACL token, from x-consul-token in the "
       "call's metadata, and asks Consul what it may do; mtls takes each caller's certificate "
       "(--grpc_tls_client_ca_file), and looks in --auth_mtls_file for what it may do.",
       "none while every address listened at is of this host; beyond it has to be given", nullptr, false, SetAuth},
      {"Listening", "auth_grace", "DURATION",
       "With --auth=consul: while Consul is away, what callers were allowed to read so shortly before is served as "
       "last "
       "known.",
       text(d.auth_grace), nullptr, false, Duration(&Options::auth_grace, absl::ZeroDuration(), absl::Hours(24))},

      {"Listening", "auth_mtls_file", "FILE",
       "With --auth=mtls: YAML list of who may read, write and register what, by the SPIFFE ID or else the common name "
       "of the client's certificate. Looked at each second, and used when it has changed.",
       "", nullptr, false, Text(&Options::auth_mtls_file)},

      {"Limits", "limit_caller_streams", "N",
       "Streams that one caller may have open; 0: any number. A caller is a token that Consul knows, or else the name "
       "in a verified certificate, or else an address (of IPv6 a /64 network).",
       absl::StrCat(d.limit_caller_streams), nullptr, false, Number(&Options::limit_caller_streams, 0, kMostStreams)},
      {"Limits", "limit_caller_targets", "N",
       "Different keys, prefixes and services that the streams of one caller may watch; 0: any number.",
       absl::StrCat(d.limit_caller_targets), nullptr, false, Number(&Options::limit_caller_targets, 0, kMostStreams)},
      {"Limits", "limit_caller_requests", "N",
       "Calls that one caller may make a second, all of them at once if it likes; 0: any number.",
       absl::StrCat(d.limit_caller_requests), nullptr, false,
       Number(&Options::limit_caller_requests, 0, kMostRequests)},
      {"Limits", "limit_streams", "N", "Streams that all callers together may have open; 0: any number.",
       absl::StrCat(d.limit_streams), nullptr, false, Number(&Options::limit_streams, 0, kMostStreams)},
      {"Limits", "limit_targets", "N",
       "Different keys, prefixes and services that the streams of all callers together may watch; 0: any number.",
       absl::StrCat(d.limit_targets), nullptr, false, Number(&Options::limit_targets, 0, kMostStreams)},
      {"Limits", "limit_requests", "N", "Calls that all callers together may make a second; 0: any number.",
       absl::StrCat(d.limit_requests), nullptr, false, Number(&Options::limit_requests, 0, kMostRequests)},

      {"Consul", "consul_address", "URL[,URL...]",
       "Consul's HTTP API, best the agent of the same host. Of several, the first one that works is used until it is "
       "away; the token and the TLS settings are for all.",
       d.consul_address, "CONSUL_HTTP_ADDR", true, SetConsulAddress},
      {"Consul", "consul_token_file", "FILE", "Holds the ACL token that the gateway itself uses.", "",
       "CONSUL_HTTP_TOKEN_FILE", false, Text(&Options::consul_token_file)},
      {"Consul", "consul_ca_file", "FILE", "PEM certificates that Consul's certificate is checked against.",
       "the system's", "CONSUL_CACERT", false, Text(&Options::consul_ca_file)},
      {"Consul", "consul_cert_file", "FILE", "PEM certificate shown to Consul; needs --consul_key_file.", "",
       "CONSUL_CLIENT_CERT", false, Text(&Options::consul_cert_file)},
      {"Consul", "consul_key_file", "FILE", "PEM key of --consul_cert_file.", "", "CONSUL_CLIENT_KEY", false,
       Text(&Options::consul_key_file)},
      {"Consul", "consul_tls_verify", "true|false", "Check Consul's certificate and host name.", "true",
       "CONSUL_HTTP_SSL_VERIFY", false, Bool(&Options::consul_tls_verify)},
      {"Consul", "consul_max_connections", "N",
       "Most connections to Consul, beside one that asks whether it is there; its own limit is 200 for each client "
       "address "
       "(limits.http_max_conns_per_client).",
       absl::StrCat(d.consul_max_connections), nullptr, false, Number(&Options::consul_max_connections, 3, 10000)},
      {"Consul", "consul_wait", "DURATION",
       "How long Consul may hold a blocking query. Short ones free their connections sooner, long ones ask less often.",
       text(d.consul_wait), nullptr, false, Duration(&Options::consul_wait, absl::Seconds(1), absl::Minutes(10))},

      {"Behaviour", "check_allow", "none|ADDRESS[,...]",
       "Where checks of registrations may lead, beside the instance's own IP address: addresses, ranges (10.1.0.0/16), "
       "host names and *.DOMAIN, which whoever writes their records is trusted with. Loopback, link-local and metadata "
       "addresses only where they are listed by themselves.",
       "127.0.0.0/8,::1,localhost with --auth=none while every address listened at, and Consul's, is a loopback one; "
       "else none",
       nullptr, true, SetCheckAllow},
      {"Behaviour", "watch_linger", "DURATION",
       "How long a target stays watched after its last reader has gone, in case one comes back.", text(d.watch_linger),
       nullptr, false, Duration(&Options::watch_linger, absl::ZeroDuration(), absl::Hours(24))},
      {"Behaviour", "watch_write_timeout", "DURATION",
       "How long a reader may take for one message before its stream, and no other, is ended with UNAVAILABLE.",
       text(d.watch_write_timeout), nullptr, false,
       Duration(&Options::watch_write_timeout, absl::Seconds(1), absl::Hours(24))},
      {"Behaviour", "drain_timeout", "DURATION", "Most time that a stop takes, --drain_delay included.",
       text(d.drain_timeout), nullptr, false,
       Duration(&Options::drain_timeout, absl::Milliseconds(100), absl::Minutes(10))},
      {"Behaviour", "drain_delay", "DURATION",
       "Time between reporting \"not serving\" and ending streams, for load balancers to notice.", text(d.drain_delay),
       nullptr, false, Duration(&Options::drain_delay, absl::ZeroDuration(), absl::Minutes(10))},
      {"Behaviour", "worker_threads", "N", "Threads that compare, encode and fan out; 0 is one per CPU, at least two.",
       "0", nullptr, false, Number(&Options::worker_threads, 0, 256)},

      {"Log", "log_level", "LEVEL", "Least level that is written: debug, info, warn or error.", "info", nullptr, false,
       OneOf(&Options::log_level, std::vector<std::pair<std::string, LogLevel>>{{"debug", LogLevel::kDebug},
                                                                                {"info", LogLevel::kInfo},
                                                                                {"warn", LogLevel::kWarn},
                                                                                {"error", LogLevel::kError}})},
      {"Log", "log_format", "text|json", "One line per event on standard error, for people or for machines.", "text",
       nullptr, false,
       OneOf(&Options::log_format,
             std::vector<std::pair<std::string, LogFormat>>{{"text", LogFormat::kText}, {"json", LogFormat::kJson}})},
  };
}

}  // namespace

const std::vector<OptionSpec>& OptionTable() {
  static const auto& table = *new std::vector<OptionSpec>(MakeTable());
  return table;
}

std::string EnvironmentName(std::string_view name) {
  return absl::StrCat("MESHGATE_", absl::AsciiStrToUpper(ToAbsl(name)));
}

std::string YamlPath(std::string_view name) {
  // Beside auth_grace it has to be something in a section.
  if (name == "auth") return "auth.mode";
  std::string path(name);
  const size_t first = path.find('_');
  if (first != std::string::npos) path[first] = '.';
  return path;
}

}  // namespace meshgate::server
