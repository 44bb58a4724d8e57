#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "client/ctl/app.h"
#include "client/ctl/failure.h"

int main(int argc, char** argv) {
  // Before any thread, so that all of them leave the signals to the one that waits for them.
  sigset_t interrupts;
  sigemptyset(&interrupts);
  sigaddset(&interrupts, SIGINT);
  sigaddset(&interrupts, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &interrupts, nullptr);
  // Never destroyed: the thread may still use it while the process exits.
  auto* cancellation = new meshgate::client::Cancellation();
  std::thread([interrupts, cancellation] {
    int signal = 0;
    sigwait(&interrupts, &signal);
    cancellation->Cancel();
    // What is being cancelled ends within this time, unless it reads from a terminal, or the user insists.
    const timespec grace{1, 0};
    sigtimedwait(&interrupts, nullptr, &grace);
    _exit(meshgate::ctl::kExitInterrupted);
  }).detach();

  // gRPC's own log repeats on standard error what the one line of an error says.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  std::ios::sync_with_stdio(false);
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  const std::string endpoint = variable("MESHGATE_ENDPOINT");
  const meshgate::ctl::Environment environment{&std::cin,    &std::cout,
                                               &std::cerr,   endpoint.empty() ? "127.0.0.1:50051" : endpoint,
                                               cancellation, isatty(STDOUT_FILENO) == 1,
                                               variable};
  return meshgate::ctl::RunMeshgatectl(std::vector<std::string>(argv + 1, argv + argc), environment);
}
