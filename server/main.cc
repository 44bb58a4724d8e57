// meshgate: service registration, discovery and configuration in front of HashiCorp Consul, or on its own.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "server/backend_factory.h"
#include "server/gateway.h"
#include "server/log.h"
#include "server/options.h"
#include "server/version.h"

namespace meshgate::server {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// On top of drain_timeout, before a stop that hangs is ended the hard way.
constexpr absl::Duration kDrainSlack = absl::Seconds(2);

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

std::string WaitForSignal() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal == SIGINT ? "SIGINT" : "SIGTERM";
}

// A stop must not hang: neither when somebody asks again, nor when a part of it waits for ever.
void LimitTheStop(absl::Duration limit) {
  std::thread([] {
    Log(LogLevel::kWarn, absl::StrCat("second signal (", WaitForSignal(), "): exiting at once"));
    _exit(kExitFailure);
  }).detach();
  std::thread([limit] {
    absl::SleepFor(limit);
    Log(LogLevel::kError, "the stop takes too long: exiting at once");
    _exit(kExitFailure);
  }).detach();
}

int Run(const Options& options) {
  auto gateway = Gateway::Start(options, MakeBackend);
  if (!gateway.ok()) {
    Log(LogLevel::kError, std::string(gateway.status().message()));
    return kExitFailure;
  }
  // For scripts: the one line on standard output, written when calls are served.
  std::printf("listening grpc=%s http=%s\n", absl::StrJoin((*gateway)->grpc_addresses(), ",").c_str(),
              (*gateway)->http_address().c_str());
  std::fflush(stdout);
  Log(LogLevel::kInfo, absl::StrCat(WaitForSignal(), ": stopping"));
  LimitTheStop(options.drain_timeout + kDrainSlack);
  (*gateway)->Drain();
  gateway->reset();
  return 0;
}

int Main(int argc, char** argv) {
  // Before there are threads, which inherit it: signals go to sigwait() alone.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const std::vector<std::string> args(argv + 1, argv + argc);
  auto line = ParseOptions(args, ProcessEnvironment());
  if (!line.ok()) {
    std::fprintf(stderr, "%s\n", std::string(line.status().message()).c_str());
    return kExitUsage;
  }
  switch (line->action) {
    case CommandLine::Action::kHelp:
      std::fputs(HelpText().c_str(), stdout);
      return 0;
    case CommandLine::Action::kHelpMarkdown:
      std::fputs(HelpMarkdown().c_str(), stdout);
      return 0;
    case CommandLine::Action::kVersion:
      std::printf("meshgate %s\n", std::string(Version()).c_str());
      return 0;
    case CommandLine::Action::kRun:
      break;
  }
  SetUpLog(line->options.log_level, line->options.log_format);
  return Run(line->options);
}

}  // namespace
}  // namespace meshgate::server

int main(int argc, char** argv) { return meshgate::server::Main(argc, argv); }
