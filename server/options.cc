#include "server/options.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/option_table.h"
#include "server/yaml_options.h"

namespace meshgate::server {
namespace {

namespace po = boost::program_options;

const OptionSpec* Find(const std::string& name) {
  for (const OptionSpec& spec : OptionTable()) {
    if (name == spec.name) return &spec;
  }
  return nullptr;
}

// Enough of a value to recognise it by.
std::string Shown(const std::string& value) {
  constexpr size_t kMost = 80;
  return absl::StrCat("\"", absl::CEscape(value.substr(0, kMost)), value.size() > kMost ? "..." : "", "\"");
}

// What Boost says, without what follows '=' in an option that it does not know: that may be a secret.
std::string What(const po::error& error) {
  const auto* unknown = dynamic_cast<const po::unknown_option*>(&error);
  if (unknown == nullptr) return error.what();
  const std::string name = unknown->get_option_name();
  const std::string option = name.substr(0, name.find('='));
  if (!absl::StrContains(option, "token")) return absl::StrCat("unrecognised option '", option, "'");
  return absl::StrCat("there is no ", option,
                      ": a token does not belong where everybody on the host can see it; give --consul_token_file or "
                      "$CONSUL_HTTP_TOKEN");
}

struct Flags {
  CommandLine::Action action = CommandLine::Action::kRun;
  std::string config;
  std::vector<std::pair<const OptionSpec*, std::string>> values;
};

// Boost splits the command line; what the values mean is the table's business.
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& args) {
  po::options_description known;
  known.add_options()("help", "")("help_markdown", "")("version", "")("config", po::value<std::string>(), "");
  for (const OptionSpec& spec : OptionTable()) known.add_options()(spec.name, po::value<std::string>(), "");
  Flags flags;
  try {
    constexpr auto style = po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent |
                           po::command_line_style::long_allow_next;
    const auto parsed = po::command_line_parser(args).options(known).positional({}).style(style).run();
    for (const auto& option : parsed.options) {
      if (option.string_key == "help") {
        flags.action = CommandLine::Action::kHelp;
      } else if (option.string_key == "help_markdown") {
        flags.action = CommandLine::Action::kHelpMarkdown;
      } else if (option.string_key == "version") {
        flags.action = CommandLine::Action::kVersion;
      } else if (option.string_key == "config") {
        flags.config = option.value.at(0);
      } else {
        flags.values.emplace_back(Find(option.string_key), option.value.at(0));
      }
    }
  } catch (const po::too_many_positional_options_error&) {
    return absl::InvalidArgumentError("command line: only --option=value is understood; see --help");
  } catch (const po::error& e) {
    return absl::InvalidArgumentError(absl::StrCat("command line: ", What(e), "; see --help"));
  }
  return flags;
}

std::string DefaultDataDir(const Environment& environment) {
  if (auto state = environment("XDG_STATE_HOME")) return *state + "/meshgate";
  if (auto home = environment("HOME")) return *home + "/.local/state/meshgate";
  return "meshgate-data";
}

// Applies values in rising precedence and keeps a line for each that is wrong.
class Settings {
 public:
  void Set(const OptionSpec& spec, const std::string& value, const std::string& source) {
    given_.insert(spec.name);
    const std::string allowed = spec.set(value, &options);
    if (!allowed.empty()) Error(absl::StrCat(source, ": ", Shown(value), " is not ", allowed));
  }
  void Error(std::string line) { errors_.push_back(std::move(line)); }
  bool given(const char* name) const { return given_.count(name) > 0; }
  absl::Status status() const {
    return errors_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }

  Options options;

 private:
  std::set<std::string> given_;
  std::vector<std::string> errors_;
};

void ApplyConsulVariables(const Environment& environment, Settings* settings) {
  for (const OptionSpec& spec : OptionTable()) {
    if (spec.consul_variable == nullptr || settings->given(spec.name)) continue;
    if (auto value = environment(spec.consul_variable)) {
      settings->Set(spec, *value, absl::StrCat("environment ", spec.consul_variable));
    }
  }
  settings->options.consul_token = environment("CONSUL_HTTP_TOKEN").value_or("");
}

void CheckTls(const std::string& listener, const std::string& cert, const std::string& key, const std::string& ca,
              Settings* settings) {
  const std::string prefix = listener + "_tls_";
  if (cert.empty() != key.empty()) {
    settings->Error(absl::StrCat(prefix, cert.empty() ? "key" : "cert", "_file is set, and ", prefix,
                                 cert.empty() ? "cert" : "key", "_file is missing: TLS needs both"));
  } else if (!ca.empty() && cert.empty()) {
    settings->Error(absl::StrCat(prefix, "client_ca_file is set, and ", prefix, "cert_file and ", prefix,
                                 "key_file are missing: only a port with TLS can ask for client certificates"));
  }
}

void CheckTogether(Settings* settings) {
  const Options& o = settings->options;
  if (o.consul_cert_file.empty() != o.consul_key_file.empty()) {
    settings->Error("consul_cert_file and consul_key_file: give both or neither");
  }
  CheckTls("grpc", o.grpc_tls_cert_file, o.grpc_tls_key_file, o.grpc_tls_client_ca_file, settings);
  CheckTls("http", o.http_tls_cert_file, o.http_tls_key_file, o.http_tls_client_ca_file, settings);
  if (o.drain_delay >= o.drain_timeout) {
    settings->Error(absl::StrCat("drain_delay (", absl::FormatDuration(o.drain_delay),
                                 ") must be less than drain_timeout (", absl::FormatDuration(o.drain_timeout),
                                 "), which includes it"));
  }
}

// Whoever opens a port to others says who may use it.
void CheckAuth(Settings* settings) {
  Options& o = settings->options;
  if (o.auth == AuthMode::kConsul && o.backend != BackendKind::kConsul) {
    settings->Error("auth=consul needs backend=consul: the embedded store has no access control");
  }
  if (o.auth == AuthMode::kMtls && o.auth_mtls_file.empty()) {
    settings->Error("auth=mtls needs auth_mtls_file: the list of who may do what");
  }
  if (o.auth == AuthMode::kMtls && o.grpc_tls_client_ca_file.empty()) {
    settings->Error("auth=mtls needs grpc_tls_client_ca_file: who calls is what the client's certificate says");
  }
  if (o.auth == AuthMode::kMtls && o.http_api && o.http_tls_client_ca_file.empty()) {
    settings->Error(
        "auth=mtls needs http_tls_client_ca_file, too: the HTTP port serves the API (http_api=off: probes and metrics "
        "alone)");
  }
  if (o.auth != AuthMode::kMtls && !o.auth_mtls_file.empty()) {
    settings->Error("auth_mtls_file is set, and auth=mtls is not: nobody would look at the list");
  }
  // Certificates that keep strangers off one port say nothing where another lets them in.
  if (o.auth == AuthMode::kNone && o.http_api && !o.grpc_tls_client_ca_file.empty() &&
      o.http_tls_client_ca_file.empty() && !IsLoopback(o.http_listen)) {
    settings->Error(
        "http_tls_client_ca_file is missing: grpc_tls_client_ca_file lets none but its clients call, and the HTTP port "
        "would serve everybody the same API; set it, or http_api=off (probes and metrics alone)");
  }
  if (o.auth.has_value() || settings->given("auth")) return;
  std::vector<std::string> open = o.grpc_listen;
  // Without the API there are probes and metrics alone.
  if (o.http_api) open.push_back(o.http_listen);
  open.erase(std::remove_if(open.begin(), open.end(), IsLoopback), open.end());
  if (!open.empty()) {
    settings->Error(
        absl::StrCat("auth: ", open.front(),
                     " is open to other hosts, so say who may call: set auth=consul (callers bring Consul's "
                     "ACL tokens), auth=mtls (callers show certificates) or auth=none (everybody who reaches the "
                     "port)"));
    return;
  }
  o.auth = AuthMode::kNone;
}

// Whoever is on this host may look at its ports anyway; whoever is not must not have them looked at. A socket may be
// bound into a container, whose loopback is another one, and callers who are told apart are not all trusted alike.
void SetDefaultCheckAllow(Settings* settings) {
  Options& o = settings->options;
  if (settings->given("check_allow")) return;
  o.check_allow = consul::CheckAllowList();
  if (o.auth != AuthMode::kNone) return;
  std::vector<std::string> addresses = o.grpc_listen;
  addresses.push_back(o.http_listen);
  if (o.backend == BackendKind::kConsul) {
    for (absl::string_view url : absl::StrSplit(o.consul_address, ',')) {
      if (!absl::ConsumePrefix(&url, "https://")) absl::ConsumePrefix(&url, "http://");
      addresses.emplace_back(url);
    }
  }
  const bool here = std::all_of(addresses.begin(), addresses.end(), [](const std::string& address) {
    return IsLoopback(address) && !absl::StartsWith(address, "unix:");
  });
  if (here) o.check_allow = consul::CheckAllowList::OfThisHost();
}

std::vector<std::string> Wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find(' ', at);
    if (end == std::string::npos) end = text.size();
    if (!lines.back().empty() && lines.back().size() + 1 + (end - at) > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back().append(text, at, end - at);
    at = end + 1;
  }
  return lines;
}

void AppendHelp(std::string* out, const std::string& flag, const std::string& help) {
  constexpr size_t kColumn = 34, kWidth = 100;
  std::string line = "  " + flag;
  if (line.size() + 2 > kColumn) {
    *out += line + "\n";
    line.clear();
  }
  for (const std::string& part : Wrap(help, kWidth - kColumn)) {
    line.resize(kColumn, ' ');
    *out += line + part + "\n";
    line.clear();
  }
}

}  // namespace

bool IsLoopback(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  in_addr ip{};
  // A name that begins like an address is none.
  if (inet_pton(AF_INET, host.c_str(), &ip) == 1) return ntohl(ip.s_addr) >> 24 == IN_LOOPBACKNET;
  return host == "localhost" || host == "[::1]";
}

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

absl::StatusOr<CommandLine> ParseOptions(const std::vector<std::string>& args, const Environment& environment) {
  auto flags = ParseFlags(args);
  if (!flags.ok()) return flags.status();
  CommandLine line;
  line.action = flags->action;
  if (line.action != CommandLine::Action::kRun) return line;

  Settings settings;
  const std::string file = !flags->config.empty() ? flags->config : environment("MESHGATE_CONFIG").value_or("");
  if (!file.empty()) {
    for (YamlSetting& s : ReadYamlOptions(file)) {
      if (s.spec != nullptr) {
        settings.Set(*s.spec, s.text, s.source);
      } else {
        settings.Error(absl::StrCat(s.source, ": ", s.text));
      }
    }
  }
  for (const OptionSpec& spec : OptionTable()) {
    const std::string name = EnvironmentName(spec.name);
    if (auto value = environment(name)) settings.Set(spec, *value, absl::StrCat("environment ", name));
  }
  for (const auto& [spec, value] : flags->values) settings.Set(*spec, value, absl::StrCat("flag --", spec->name));
  // A shell set up for Consul must not stop a gateway that does not use it.
  if (settings.options.backend == BackendKind::kConsul) ApplyConsulVariables(environment, &settings);
  CheckTogether(&settings);
  CheckAuth(&settings);
  SetDefaultCheckAllow(&settings);
  if (absl::Status status = settings.status(); !status.ok()) return status;
  line.options = std::move(settings.options);
  if (line.options.data_dir.empty()) line.options.data_dir = DefaultDataDir(environment);
  return line;
}

std::vector<std::string> UnknownVariables(const std::vector<std::string>& names) {
  // Beside the options: what deploy/run.sh, meshgatectl and tests/run.sh read or set. Not meshgatectl's tokens, which
  // may have been meant for the gateway.
  std::set<std::string> known = {"MESHGATE_CONFIG", "MESHGATE_FIRST_STEPS", "MESHGATE_ENDPOINT", "MESHGATE_SANITIZERS"};
  for (const OptionSpec& spec : OptionTable()) known.insert(EnvironmentName(spec.name));
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "MESHGATE_") && known.count(name) == 0) unknown.push_back(name);
  }
  return unknown;
}

std::string HelpText() {
  std::string out =
      "meshgate: service registration, discovery and configuration over gRPC, in front of HashiCorp Consul or on its "
      "own.\n"
      "\n"
      "Usage: meshgate [--option=value ...]\n"
      "\n"
      "An option may also stand in the environment (MESHGATE_ and its name in capitals) or in a YAML file, nested at\n"
      "its first word (drain: {timeout: 5s}). A flag wins over the environment, that over the file. With\n"
      "--backend=consul, Consul's own variables serve where none of them sets an option.\n";
  const char* group = "";
  for (const OptionSpec& spec : OptionTable()) {
    if (std::string(group) != spec.group) absl::StrAppend(&out, "\n", group = spec.group, ":\n");
    std::string help = spec.help;
    if (!spec.default_text.empty()) absl::StrAppend(&help, " Default: ", spec.default_text, ".");
    if (spec.consul_variable != nullptr) absl::StrAppend(&help, " Consul's variable: ", spec.consul_variable, ".");
    AppendHelp(&out, absl::StrCat("--", spec.name, "=", spec.value), help);
  }
  out += "\nGeneral:\n";
  AppendHelp(&out, "--config=FILE", "YAML file to read options from (MESHGATE_CONFIG).");
  AppendHelp(&out, "--help", "Show this text.");
  AppendHelp(&out, "--version", "Show the version.");
  out +=
      "\nThe token of CONSUL_HTTP_TOKEN is used where no token file is given; there is no flag for a token, because\n"
      "command lines are visible to other users.\n"
      "\n"
      "Exit status: 0 after a signal and a drain, 1 when it cannot run, 2 for a wrong option.\n";
  return out;
}

std::string HelpMarkdown() {
  std::string out = "| flag | environment | file | default | what |\n| --- | --- | --- | --- | --- |\n";
  for (const OptionSpec& spec : OptionTable()) {
    std::string variable = absl::StrCat("`", EnvironmentName(spec.name), "`");
    if (spec.consul_variable != nullptr) absl::StrAppend(&variable, ", below it `", spec.consul_variable, "`");
    std::string value(spec.value);
    for (size_t at = 0; (at = value.find('|', at)) != std::string::npos; at += 2) value.insert(at, "\\");
    absl::StrAppend(&out, "| `--", spec.name, "=", value, "` | ", variable, " | `", YamlPath(spec.name), "` | ",
                    spec.default_text.empty() ? "" : absl::StrCat("`", spec.default_text, "`"), " | ", spec.help,
                    " |\n");
  }
  absl::StrAppend(&out, "| `--config=FILE` | `MESHGATE_CONFIG` | | | YAML file to read options from. |\n");
  return out;
}

}  // namespace meshgate::server
