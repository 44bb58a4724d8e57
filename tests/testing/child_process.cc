#include "tests/testing/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/time/clock.h"

namespace meshgate::testing {
namespace {

int MillisecondsUntil(absl::Time until) {
  const absl::Duration left = until - absl::Now();
  return left <= absl::ZeroDuration() ? 0 : static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
}

}  // namespace

ChildProcess::ChildProcess(const Options& options) {
  std::vector<char*> argv;
  for (const auto& argument : options.arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) abort();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    // Not left behind where the test is killed.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(out[1], STDOUT_FILENO);
    if (!options.stderr_file.empty()) {
      const int err = open(options.stderr_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (err >= 0) dup2(err, STDERR_FILENO);
    }
    for (const auto& [name, value] : options.environment) setenv(name.c_str(), value.c_str(), 1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  output_ = out[0];
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
}

ChildProcess::~ChildProcess() {
  if (!ended_.has_value()) {
    Signal(SIGKILL);
    Wait();
  }
  close(output_);
  close(pidfd_);
}

bool ChildProcess::ReadSome(absl::Time until) {
  pollfd wait{output_, POLLIN, 0};
  if (poll(&wait, 1, MillisecondsUntil(until)) <= 0) return false;
  char chunk[4096];
  const ssize_t got = read(output_, chunk, sizeof chunk);
  if (got <= 0) return false;
  buffer_.append(chunk, static_cast<size_t>(got));
  return true;
}

std::string ChildProcess::WaitForLine(const std::string& prefix, absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  while (true) {
    size_t end;
    while ((end = buffer_.find('\n')) != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.compare(0, prefix.size(), prefix) == 0) return line;
    }
    if (!ReadSome(until)) return "";
  }
}

std::string ChildProcess::ReadAll(absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  while (ReadSome(until)) {
  }
  return std::exchange(buffer_, {});
}

void ChildProcess::Signal(int signal) {
  if (!ended_.has_value()) kill(pid_, signal);
}

std::optional<ExitStatus> ChildProcess::Wait(absl::Duration within) {
  if (ended_.has_value()) return ended_;
  pollfd wait{pidfd_, POLLIN, 0};
  if (poll(&wait, 1, MillisecondsUntil(absl::Now() + within)) <= 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  ended_.emplace();
  if (WIFEXITED(status)) ended_->code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended_->signal = WTERMSIG(status);
  return ended_;
}

std::string RunCommand(std::vector<std::string> arguments, ExitStatus* status) {
  ChildProcess child({std::move(arguments), {}, ""});
  std::string output = child.ReadAll();
  const auto ended = child.Wait();
  if (status != nullptr && ended.has_value()) *status = *ended;
  return output;
}

}  // namespace meshgate::testing
