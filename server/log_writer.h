#ifndef MESHGATE_SERVER_LOG_WRITER_H_
#define MESHGATE_SERVER_LOG_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace meshgate::server {

// Writes lines to a file descriptor on a thread of its own, so that whoever logs never waits for whoever reads: a pipe
// that nobody empties would otherwise stop every thread that has something to say. Lines wait in bounded memory; when
// it is full new ones are dropped, and the next line that is written is preceded by one that says how many.
// Thread-safe.
class LogWriter {
 public:
  // Makes the line, with its newline, that stands for `dropped` lines.
  using DroppedLine = std::function<std::string(uint64_t dropped)>;

  // `fd` stays open for as long as the process lives. Make it after signals have been blocked: the thread inherits
  // that.
  LogWriter(int fd, size_t max_waiting_bytes, DroppedLine dropped_line);

  // Waits as Flush() does, for a moment, and then leaves the thread to itself.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Takes one or more whole lines. Never waits for the descriptor.
  void Write(std::string_view lines);

  // Waits until everything has been written, at most for `timeout`; returns whether it has.
  bool Flush(absl::Duration timeout);

 private:
  class Queue;
  // Shared with the thread, which may hang in a write when this goes.
  const std::shared_ptr<Queue> queue_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_LOG_WRITER_H_
