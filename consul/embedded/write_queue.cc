#include "consul/embedded/write_queue.h"

#include <pthread.h>

#include <utility>

#include "consul/base/errors.h"

namespace meshgate::consul::embedded {
namespace {

// A longer batch makes the first of its writes wait without making the last ones much cheaper.
constexpr size_t kMaxBatchWrites = 4096;
constexpr size_t kMaxBatchBytes = 16 << 20;

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "cancelled; nothing was written");
}

}  // namespace

void Write::Cancel() {
  if (auto queue = queue_.lock()) queue->GiveUp(*this, absl::StatusCode::kCancelled, /*while_running=*/false);
}

void WriteQueue::Start(Commit commit) {
  thread_ = std::thread([this, commit = std::move(commit)]() mutable { Run(std::move(commit)); });
  pthread_setname_np(thread_.native_handle(), "store-writer");
}

void WriteQueue::Shutdown() {
  std::deque<std::shared_ptr<Write>> dropped;
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    dropped.swap(queue_);
    queued_bytes_ = 0;
  }
  changed_.NotifyAll();
  for (const auto& write : dropped) Finish(*write, Cancelled());
  if (thread_.joinable()) thread_.join();
}

CallHandle WriteQueue::Add(size_t bytes, absl::Duration timeout, Write::Stage stage, Backend::DoneCallback done) {
  std::shared_ptr<Write> write(new Write(weak_from_this(), tasks_, bytes, std::move(stage), std::move(done)));
  absl::Status refused;
  {
    MutexLock lock(mu_);
    if (shut_down_) {
      refused = Cancelled();
    } else if (timeout <= absl::ZeroDuration()) {
      refused = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "no time left; nothing was written");
    } else if (queued_bytes_ + bytes > max_bytes_) {
      refused = WithRetryAfter(MakeError(absl::StatusCode::kResourceExhausted, reason::kConsulOverloaded,
                                         "too many writes wait for the disk; nothing was written"),
                               absl::Seconds(1));
    } else {
      queue_.push_back(write);
      queued_bytes_ += bytes;
    }
  }
  if (!refused.ok()) {
    Finish(*write, std::move(refused));
    return write;
  }
  changed_.NotifyOne();
  if (timeout < absl::InfiniteDuration()) {
    write->alarm_.Set(timeout,
                      [this, write] { GiveUp(*write, absl::StatusCode::kDeadlineExceeded, /*while_running=*/true); });
  }
  return write;
}

void WriteQueue::Finish(Write& write, absl::Status status) {
  Backend::DoneCallback done;
  {
    MutexLock lock(mu_);
    if (write.phase_ == Write::Phase::kDone) return;
    write.phase_ = Write::Phase::kDone;
    done = std::move(write.done_);
  }
  End(write, std::move(done), std::move(status));
}

void WriteQueue::GiveUp(Write& write, absl::StatusCode code, bool while_running) {
  Backend::DoneCallback done;
  bool running;
  {
    MutexLock lock(mu_);
    running = write.phase_ == Write::Phase::kRunning;
    if (write.phase_ == Write::Phase::kDone || (running && !while_running)) return;
    // What is still in the queue is passed over when its turn comes.
    write.phase_ = Write::Phase::kDone;
    done = std::move(write.done_);
  }
  if (code == absl::StatusCode::kCancelled) return End(write, std::move(done), Cancelled());
  End(write, std::move(done),
      MakeError(code, reason::kDeadline,
                running ? "the disk did not answer in time; the write may have been applied"
                        : "the disk was busy with other writes; nothing was written"));
}

void WriteQueue::End(Write& write, Backend::DoneCallback done, absl::Status status) {
  write.alarm_.Close();
  tasks_->Post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
}

void WriteQueue::Run(Commit commit) {
  while (true) {
    const Batch batch = NextBatch();
    if (batch.empty()) return;
    commit(batch);
  }
}

WriteQueue::Batch WriteQueue::NextBatch() {
  Batch batch;
  size_t bytes = 0;
  MutexLock lock(mu_);
  while (batch.empty()) {
    while (queue_.empty() && !shut_down_) changed_.Wait(mu_);
    if (queue_.empty()) return batch;
    while (!queue_.empty() && batch.size() < kMaxBatchWrites && bytes < kMaxBatchBytes) {
      std::shared_ptr<Write> write = std::move(queue_.front());
      queue_.pop_front();
      queued_bytes_ -= write->bytes_;
      if (write->phase_ == Write::Phase::kDone) continue;
      write->phase_ = Write::Phase::kRunning;
      bytes += write->bytes_;
      batch.push_back(std::move(write));
    }
  }
  return batch;
}

}  // namespace meshgate::consul::embedded
