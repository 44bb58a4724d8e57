#include "client/ctl/app.h"

#include <variant>

#include "client/ctl/failure.h"
#include "client/errors.h"

namespace meshgate::ctl {

namespace {

Outcome RunCommand(const HelpArgs& args, const Invocation&, const Environment& environment) {
  *environment.out << args.text;
  return {};
}

template <typename Args>
Outcome RunCommand(const Args& args, const Invocation& invocation, const Environment& environment) {
  client::ClientOptions options;
  options.endpoint = invocation.endpoint;
  options.timeout = invocation.timeout;
  if (invocation.tls.has_value()) {
    auto credentials = client::TlsCredentials(*invocation.tls);
    if (!credentials.ok()) return {credentials.status(), /*local=*/true};
    options.credentials = *std::move(credentials);
    options.tls_server_name = invocation.tls_server_name;
  }
  auto token = ChooseToken(invocation, environment.variables);
  if (!token.ok()) return {token.status(), /*local=*/true};
  options.token = *std::move(token);
  options.insecure_token = invocation.insecure_token;
  client::Client client(options);
  Context context{&client, {}, invocation.format, &environment};
  context.call.cancellation = environment.cancellation;
  return Run(args, context);
}

}  // namespace

int RunMeshgatectl(const std::vector<std::string>& args, const Environment& environment) {
  std::ostream& err = *environment.err;
  const auto invocation = ParseArguments(args, environment.default_endpoint);
  if (!invocation.ok()) {
    err << "meshgatectl: " << invocation.status().message() << std::endl;
    return kExitUsage;
  }
  const Outcome outcome = std::visit([&](const auto& command) { return RunCommand(command, *invocation, environment); },
                                     invocation->command);
  environment.out->flush();
  if (environment.cancellation->cancelled()) return kExitInterrupted;
  if (outcome.status.ok()) {
    if (environment.out->good()) return kExitOk;
    err << "meshgatectl: can't write to standard output" << std::endl;
    return kExitLocal;
  }
  if (outcome.local) {
    err << "meshgatectl: " << outcome.status.message() << std::endl;
    return kExitLocal;
  }
  err << "meshgatectl: " << invocation->name << ": " << DescribeFailure(outcome.status, invocation->endpoint)
      << std::endl;
  return ExitCodeOf(outcome.status);
}

}  // namespace meshgate::ctl
