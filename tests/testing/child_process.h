#ifndef MESHGATE_TESTS_TESTING_CHILD_PROCESS_H_
#define MESHGATE_TESTS_TESTING_CHILD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace meshgate::testing {

// How a child ended.
struct ExitStatus {
  // Of a child that exited by itself.
  std::optional<int> code;
  // Of one that was killed.
  std::optional<int> signal;
};

// A real process that dies with the test. Its standard output is read by the test, its standard error goes to a file
// under TEST_TMPDIR, or to the test's own. Not thread-safe.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> arguments;  // [0] is the program, looked up in PATH where it has no slash.
    std::vector<std::pair<std::string, std::string>> environment;  // added to the test's own
    std::string stderr_file;                                       // empty: the test's
  };

  explicit ChildProcess(const Options& options);
  // Kills it where it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Waits for a line of the output that begins with `prefix` and returns it; empty where the output ends, or `within`
  // passes, without one.
  std::string WaitForLine(const std::string& prefix, absl::Duration within = absl::Seconds(30));

  // Everything that it has printed and will print until it closes its output, at most `within` long.
  std::string ReadAll(absl::Duration within = absl::Seconds(30));

  void Signal(int signal);

  // Waits for its end; nullopt where it still runs after `within`.
  std::optional<ExitStatus> Wait(absl::Duration within = absl::Seconds(30));

  pid_t pid() const { return pid_; }

 private:
  // Appends what comes to buffer_; false at the end of the output or of time.
  bool ReadSome(absl::Time until);

  pid_t pid_ = -1;
  int pidfd_ = -1;
  int output_ = -1;
  std::string buffer_;
  std::optional<ExitStatus> ended_;
};

// Runs a command to its end and returns its output; `status` gets how it ended.
std::string RunCommand(std::vector<std::string> arguments, ExitStatus* status = nullptr);

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CHILD_PROCESS_H_
