// meshgate: service registration, discovery and configuration in front of HashiCorp Consul, or on its own.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "server/backend_factory.h"
#include "server/file_limit.h"
#include "server/first_steps.h"
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

// Between two looks at how long a stop takes.
constexpr absl::Duration kWatchInterval = absl::Seconds(1);

// For the last lines to be read. A supervisor that reads no more must not hold up the exit.
constexpr absl::Duration kLastFlush = absl::Seconds(1);

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// A signal's name; empty where none has come within `timeout`.
std::string NextSignal(absl::Duration timeout) {
  const sigset_t signals = StopSignals();
  const timespec limit = absl::ToTimespec(timeout);
  switch (sigtimedwait(&signals, nullptr, &limit)) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    default:
      return "";
  }
}

// For as long as it takes a process to be told once by everybody: a terminal, sudo, timeout(1) and some init processes
// signal a process and then its group, or the other way round.
constexpr absl::Duration kSameStop = absl::Seconds(1);

// Says why and exits, now: nothing here waits for whoever reads the log, or for other threads.
[[noreturn]] void ExitNow(std::string_view why) {
  Log(LogLevel::kError, why);
  FlushLog(absl::Milliseconds(100));
  _exit(kExitFailure);
}

// A stop must not hang: neither when somebody asks again, nor when a part of it waits for ever.
void LimitTheStop(absl::Duration limit) {
  std::thread([] {
    const auto began = std::chrono::steady_clock::now();
    while (true) {
      const std::string again = NextSignal(kWatchInterval);
      if (again.empty() || absl::FromChrono(std::chrono::steady_clock::now() - began) < kSameStop) continue;
      ExitNow(absl::StrCat("another ", again, ": exiting at once"));
    }
  }).detach();
  std::thread([limit] {
    absl::SleepFor(limit);
    ExitNow("the stop takes too long: exiting at once");
  }).detach();
}

std::vector<std::string> VariableNames() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    names.emplace_back(text.substr(0, text.find('=')));
  }
  return names;
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
  if (const char* folder = std::getenv(kFirstStepsVariable); folder != nullptr && *folder != '\0') {
    FlushLog(kLastFlush);
    const FirstStepsTls tls = {!options.grpc_tls_cert_file.empty(), !options.grpc_tls_client_ca_file.empty(),
                               !options.http_tls_cert_file.empty()};
    std::fputs(FirstSteps(folder, (*gateway)->grpc_addresses(), (*gateway)->http_address(), tls).c_str(), stderr);
  }
  std::string signal;
  while (signal.empty()) signal = NextSignal(absl::Hours(1));
  LimitTheStop(options.drain_timeout + kDrainSlack);
  Log(LogLevel::kInfo, absl::StrCat(signal, ": stopping"));
  (*gateway)->Drain();
  gateway->reset();
  return 0;
}

// Large requests come and go: memory that is given back to the kernel each time has to be cleared by it, page by page,
// which takes longer than what is done with it and stops every thread.
void KeepMemory() {
  constexpr int kLargest = 8 << 20, kLeft = 32 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargest);
  mallopt(M_TRIM_THRESHOLD, kLeft);
}

int Main(int argc, char** argv) {
  KeepMemory();
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
  RaiseFileLimit();
  SetUpLog(line->options.log_level, line->options.log_format);
  for (const std::string& name : UnknownVariables(VariableNames())) {
    Log(LogLevel::kWarn,
        absl::StrCat(name, " is set, but no option has this variable; see --help",
                     absl::StrContains(name, "TOKEN") ? " (the gateway's token comes from --consul_token_file)" : ""));
  }
  const int exit_code = Run(line->options);
  FlushLog(kLastFlush);
  return exit_code;
}

}  // namespace
}  // namespace meshgate::server

int main(int argc, char** argv) { return meshgate::server::Main(argc, argv); }
