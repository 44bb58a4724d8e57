// Starts every server under test, prints a line "NAME ADDRESS" for each and then "ready". On SIGTERM all of them drain,
// for at most two seconds.
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/conformance/servers.h"

namespace meshgate::conformance {
namespace {

constexpr absl::Duration kDrainTime = absl::Seconds(2);

struct NamedStart {
  const char* name;
  absl::StatusOr<std::unique_ptr<ServerUnderTest>> (*start)(Events*);
};

// The first is what the others are compared with; conformance_test finds every one that is added here.
constexpr NamedStart kServers[] = {
    {"plain", StartPlainServer},
    {"forwarded", StartForwardingServer},
    {"native", StartNativeServer},
};

int Main() {
  // Before any thread starts, so that all of them leave the signal to sigwait().
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);

  Events events;
  std::vector<std::unique_ptr<ServerUnderTest>> servers;
  for (const NamedStart& named : kServers) {
    auto server = named.start(&events);
    if (!server.ok()) {
      fprintf(stderr, "%s: %s\n", named.name, server.status().ToString().c_str());
      return 1;
    }
    printf("%s %s\n", named.name, (*server)->address().c_str());
    servers.push_back(*std::move(server));
  }
  printf("ready\n");
  fflush(stdout);

  int signal;
  sigwait(&terminate, &signal);
  const absl::Time deadline = absl::Now() + kDrainTime;
  std::vector<std::thread> shutdowns;
  for (auto& server : servers) shutdowns.emplace_back([&server, deadline] { server->Shutdown(deadline); });
  events.Raise(kDrain);
  for (std::thread& shutdown : shutdowns) shutdown.join();
  return 0;
}

}  // namespace
}  // namespace meshgate::conformance

int main() { return meshgate::conformance::Main(); }
