#include "client/ctl/args.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/command_spec.h"
#include "grpcpp/grpcpp.h"

namespace meshgate::ctl {
namespace po = boost::program_options;
namespace {

constexpr int kHelpWidth = 100;

const std::vector<CommandSpec>& Commands() {
  static const auto* commands = [] {
    auto* all = new std::vector<CommandSpec>(ConfigCommands());
    all->push_back(WatchCommand());
    for (CommandSpec& command : RegistryCommands()) all->push_back(std::move(command));
    return all;
  }();
  return *commands;
}

const CommandSpec* FindCommand(const std::string& name) {
  for (const CommandSpec& command : Commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

po::options_description GlobalOptions() {
  po::options_description options("Options of every command", kHelpWidth);
  options.add_options()                                                                                      //
      ("endpoint,e", po::value<std::string>()->value_name("HOST:PORT"),                                      //
       "the gateway (default: $MESHGATE_ENDPOINT, else 127.0.0.1:50051)")                                    //
      ("tls", "the gateway speaks TLS; the options below mean that, too")                                    //
      ("ca-file", po::value<std::string>()->value_name("FILE"),                                              //
       "PEM certificates of authorities that the gateway's is checked against (default: the system's)")      //
      ("cert-file", po::value<std::string>()->value_name("FILE"), "PEM certificate to show to the gateway")  //
      ("key-file", po::value<std::string>()->value_name("FILE"), "PEM key of --cert-file")                   //
      ("tls-server-name", po::value<std::string>()->value_name("NAME"),                                      //
       "what the gateway's certificate has to be for (default: the endpoint's host)")                        //
      ("token-file", po::value<std::string>()->value_name("FILE"),                                           //
       "Consul's ACL token to call with, looked at again for each call (default: that of $MESHGATE_TOKEN_FILE, "
       "$MESHGATE_TOKEN, $CONSUL_HTTP_TOKEN_FILE or $CONSUL_HTTP_TOKEN, else none)")                          //
      ("insecure-token", "send a token in plain text to another host, too, where the network can read it")    //
      ("timeout,t", po::value<std::string>()->value_name("TIME"), "for each call, e.g. 500ms (default 10s)")  //
      ("output,o", po::value<std::string>()->value_name("text|json"),                                         //
       "json is protobuf's, one message per line (default text)")                                             //
      ("help,h", "this text");
  return options;
}

std::string GeneralHelp() {
  std::ostringstream out;
  out << "Usage: meshgatectl COMMAND [ARGUMENTS] [OPTIONS]\n\n"
         "Reads, writes and watches configuration and services through a meshgate gateway.\n\nCommands:\n";
  for (const CommandSpec& command : Commands()) {
    out << "  " << command.name << std::string(12 - command.name.size(), ' ') << command.summary << "\n";
  }
  po::options_description options = GlobalOptions();
  options.add_options()("version", "print the version");
  out << "\n"
      << options
      << "\nExamples:\n"
         "  meshgatectl put payments/db/url postgres://db1/payments\n"
         "  meshgatectl get payments/db/url\n"
         "  meshgatectl watch --prefix payments/\n"
         "  meshgatectl discover web -o json\n"
         "\nExit status: 0, 1 for a local error, 2 for a wrong command line, 64 + the gRPC code for a failed call\n"
         "(69 NOT_FOUND, 74 ABORTED, 78 UNAVAILABLE, ...), 130 when interrupted.\n"
         "\n`meshgatectl COMMAND --help` says more about each command.\n";
  return out.str();
}

std::string CommandHelp(const CommandSpec& command) {
  std::ostringstream out;
  out << "Usage: meshgatectl " << command.name << (command.synopsis.empty() ? "" : " ") << command.synopsis << "\n\n"
      << command.summary << "\n";
  po::options_description options("Options", kHelpWidth);
  if (command.add_options != nullptr) command.add_options(&options);
  if (!options.options().empty()) out << "\n" << options;
  out << "\n" << GlobalOptions() << "\n" << command.details;
  return out.str();
}

absl::Status UsageError(const std::string& command, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, "; see meshgatectl ", command, command.empty() ? "" : " ", "--help"));
}

// What Boost says, without what follows '=' in an option that it does not know: that may be a secret.
std::string What(const po::error& error) {
  const auto* unknown = dynamic_cast<const po::unknown_option*>(&error);
  if (unknown == nullptr) return error.what();
  const std::string option = unknown->get_option_name();
  return absl::StrCat("unrecognised option '", option.substr(0, option.find('=')), "'");
}

// Whether somebody tries to give the token itself, which everybody on the host would see.
bool GivesToken(const std::vector<std::string>& args) {
  for (const std::string& arg : args) {
    if (arg == "--") return false;
    if (arg == "--token" || absl::StartsWith(arg, "--token=")) return true;
  }
  return false;
}

// Where the command is: the first argument that is neither an option nor a global option's value.
size_t CommandPosition(const std::vector<std::string>& args) {
  size_t at = 0;
  while (at < args.size() && absl::StartsWith(args[at], "-")) {
    const std::string& arg = args[at];
    static const std::set<std::string> kTakeNext = {
        "--endpoint",  "--timeout",  "--output",          "-e",          "-t", "-o", "--ca-file",
        "--cert-file", "--key-file", "--tls-server-name", "--token-file"};
    at += kTakeNext.count(arg) > 0 ? 2 : 1;
  }
  return std::min(at, args.size());
}

absl::Status FillTls(const po::variables_map& options, Invocation* out) {
  client::TlsOptions tls{StringOf(options, "ca-file"), StringOf(options, "cert-file"), StringOf(options, "key-file")};
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError(tls.key_file.empty() ? "--cert-file needs --key-file"
                                                           : "--key-file needs --cert-file");
  }
  out->tls_server_name = StringOf(options, "tls-server-name");
  bool given = Has(options, "tls");
  for (const char* name : {"ca-file", "cert-file", "key-file", "tls-server-name"}) {
    if (!Has(options, name)) continue;
    // An unset variable of a shell must not have a secret go out in plain text.
    if (StringOf(options, name).empty()) return absl::InvalidArgumentError(absl::StrCat("--", name, " is empty"));
    given = true;
  }
  if (given) out->tls = std::move(tls);
  return absl::OkStatus();
}

absl::Status FillGlobals(const po::variables_map& options, const std::string& default_endpoint, Invocation* out) {
  out->endpoint = StringOf(options, "endpoint", default_endpoint);
  if (out->endpoint.empty()) return absl::InvalidArgumentError("--endpoint is empty");
  if (absl::StrContains(out->endpoint, "http://") || absl::StrContains(out->endpoint, "https://")) {
    return absl::InvalidArgumentError("--endpoint takes HOST:PORT of the gRPC listener, not a URL");
  }
  auto timeout = ParsePositiveDuration("--timeout", StringOf(options, "timeout", "10s"));
  if (!timeout.ok()) return timeout.status();
  out->timeout = *timeout;
  const std::string format = StringOf(options, "output", "text");
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("--output is text or json, not ", format));
  }
  out->format = format == "json" ? Format::kJson : Format::kText;
  out->token_file = StringOf(options, "token-file");
  // An unset variable of a shell must not have the call made as somebody else.
  if (Has(options, "token-file") && out->token_file.empty()) return absl::InvalidArgumentError("--token-file is empty");
  out->insecure_token = Has(options, "insecure-token");
  return FillTls(options, out);
}

Invocation Print(std::string text) {
  Invocation invocation;
  invocation.command = HelpArgs{std::move(text)};
  return invocation;
}

// Of one command: its options and its positional arguments, of which there are as many as it takes.
struct CommandLine {
  po::variables_map options;
  std::vector<std::string> positional;
};

absl::StatusOr<CommandLine> ReadCommandLine(const CommandSpec& command, const std::vector<std::string>& args,
                                            const po::options_description& globals) {
  po::options_description all;
  all.add(globals);
  if (command.add_options != nullptr) command.add_options(&all);
  all.add_options()("positional", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("positional", -1);

  CommandLine line;
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(args).options(all).positional(positional).style(style).run(), line.options);
    po::notify(line.options);
  } catch (const po::error& error) {
    return absl::InvalidArgumentError(What(error));
  }
  line.positional = ListOf(line.options, "positional");
  if (Has(line.options, "help")) return line;
  if (line.positional.size() < command.min_positional) {
    return absl::InvalidArgumentError(absl::StrCat(command.name, " needs ", command.synopsis));
  }
  if (line.positional.size() > command.max_positional) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument '", line.positional[command.max_positional], "'"));
  }
  return line;
}

absl::StatusOr<Invocation> ParseCommand(const CommandSpec& command, const std::vector<std::string>& args,
                                        const std::string& default_endpoint) {
  auto line = ReadCommandLine(command, args, GlobalOptions());
  if (!line.ok()) return UsageError(command.name, std::string(line.status().message()));
  if (Has(line->options, "help")) return Print(CommandHelp(command));
  Invocation invocation;
  invocation.name = command.name;
  if (absl::Status globals = FillGlobals(line->options, default_endpoint, &invocation); !globals.ok()) {
    return UsageError(command.name, std::string(globals.message()));
  }
  auto built = command.build(line->options, line->positional);
  if (!built.ok()) return UsageError(command.name, std::string(built.status().message()));
  invocation.command = *std::move(built);
  return invocation;
}

}  // namespace

absl::StatusOr<Invocation> ParseArguments(const std::vector<std::string>& args, const std::string& default_endpoint) {
  if (GivesToken(args)) {
    return UsageError("",
                      "a token does not belong on a command line, where everybody on the host can see it: give "
                      "--token-file or $MESHGATE_TOKEN");
  }
  const size_t at = CommandPosition(args);
  for (size_t i = 0; i < at; ++i) {
    if (args[i] == "--help" || args[i] == "-h") return Print(GeneralHelp());
    if (args[i] == "--version") {
      return Print(absl::StrCat("meshgatectl " MESHGATE_VERSION " (gRPC ", grpc::Version(), ")\n"));
    }
  }
  if (at == args.size()) {
    // An option that nobody knows says more than the missing command.
    po::options_description known = GlobalOptions();
    known.add_options()("version", "");
    try {
      const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
      po::command_line_parser(args).options(known).style(style).run();
    } catch (const po::error& error) {
      return UsageError("", What(error));
    }
    return UsageError("", "no command given");
  }
  if (args[at] == "help") {
    if (at + 1 == args.size()) return Print(GeneralHelp());
    const CommandSpec* command = FindCommand(args[at + 1]);
    if (command == nullptr) return UsageError("", absl::StrCat("no command is called '", args[at + 1], "'"));
    return Print(CommandHelp(*command));
  }
  const CommandSpec* command = FindCommand(args[at]);
  if (command == nullptr) return UsageError("", absl::StrCat("no command is called '", args[at], "'"));
  std::vector<std::string> rest = args;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
  return ParseCommand(*command, rest, default_endpoint);
}

absl::StatusOr<CommandArgs> ParseOperation(const std::vector<std::string>& words) {
  const std::string name = words.empty() ? "" : words.front();
  if (name != "put" && name != "del") return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not put or del"));
  const CommandSpec& command = *FindCommand(name);
  auto line = ReadCommandLine(command, {words.begin() + 1, words.end()}, po::options_description());
  if (!line.ok()) return line.status();
  return command.build(line->options, line->positional);
}

}  // namespace meshgate::ctl
