#include "server/log_writer.h"

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "consul/base/mutex.h"

namespace meshgate::server {
namespace {

constexpr absl::Duration kLastFlush = absl::Milliseconds(500);

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno != EINTR) {
      // The reader has gone or the disk is full; there is nowhere else to say so.
      return;
    }
  }
}

}  // namespace

class LogWriter::Queue {
 public:
  Queue(int fd, size_t max_waiting_bytes, DroppedLine dropped_line)
      : fd_(fd), max_waiting_bytes_(max_waiting_bytes), dropped_line_(std::move(dropped_line)) {}

  void Put(std::string_view lines) {
    MutexLock lock(mu_);
    if (waiting_.size() + lines.size() > max_waiting_bytes_) {
      ++dropped_;
      return;
    }
    // At the place where they are missing.
    if (dropped_ > 0) waiting_ += dropped_line_(std::exchange(dropped_, 0));
    waiting_ += lines;
    changed_.NotifyAll();
  }

  bool Flush(absl::Duration timeout) {
    const absl::Time until = absl::Now() + timeout;
    MutexLock lock(mu_);
    while (!waiting_.empty() || writing_) {
      if (!changed_.WaitUntil(mu_, until)) return waiting_.empty() && !writing_;
    }
    return true;
  }

  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
    changed_.NotifyAll();
  }

  void Run() {
    std::string lines;
    while (true) {
      {
        MutexLock lock(mu_);
        writing_ = false;
        if (waiting_.empty() && dropped_ > 0) waiting_ += dropped_line_(std::exchange(dropped_, 0));
        if (waiting_.empty()) changed_.NotifyAll();
        while (waiting_.empty() && !closed_) changed_.Wait(mu_);
        if (waiting_.empty()) return;
        lines.clear();
        lines.swap(waiting_);
        writing_ = true;
      }
      WriteAll(fd_, lines);
    }
  }

 private:
  const int fd_;
  const size_t max_waiting_bytes_;
  const DroppedLine dropped_line_;

  Mutex mu_;
  CondVar changed_;
  std::string waiting_ ABSL_GUARDED_BY(mu_);
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

LogWriter::LogWriter(int fd, size_t max_waiting_bytes, DroppedLine dropped_line)
    : queue_(std::make_shared<Queue>(fd, max_waiting_bytes, std::move(dropped_line))) {
  std::thread thread([queue = queue_] { queue->Run(); });
  pthread_setname_np(thread.native_handle(), "log");
  thread.detach();
}

LogWriter::~LogWriter() {
  Flush(kLastFlush);
  queue_->Close();
}

void LogWriter::Write(std::string_view lines) { queue_->Put(lines); }
bool LogWriter::Flush(absl::Duration timeout) { return queue_->Flush(timeout); }

}  // namespace meshgate::server
