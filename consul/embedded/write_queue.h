#ifndef MESHGATE_CONSUL_EMBEDDED_WRITE_QUEUE_H_
#define MESHGATE_CONSUL_EMBEDDED_WRITE_QUEUE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/tasks.h"
#include "consul/embedded/transaction.h"

namespace meshgate::consul::embedded {

class WriteQueue;

// One write on its way to the disk.
class Write final : public Call, public std::enable_shared_from_this<Write> {
 public:
  // Makes the write in a transaction, on the writer's thread. Possibly twice: again alone, where there was no room for
  // the batch.
  using Stage = absl::AnyInvocable<absl::Status(Transaction&)>;

  void Cancel() override;

  absl::Status Run(Transaction& transaction) { return stage_(transaction); }

 private:
  friend class WriteQueue;
  // Guarded by the queue's mutex.
  enum class Phase { kQueued, kRunning, kDone };

  Write(std::weak_ptr<WriteQueue> queue, Tasks* tasks, size_t bytes, Stage stage, Backend::DoneCallback done)
      : queue_(std::move(queue)), bytes_(bytes), stage_(std::move(stage)), done_(std::move(done)), alarm_(tasks) {}

  const std::weak_ptr<WriteQueue> queue_;
  const size_t bytes_;
  Stage stage_;
  Phase phase_ = Phase::kQueued;
  Backend::DoneCallback done_;
  Alarm alarm_;
};

// Writes wait here for the one thread that touches the disk. It takes all that has come meanwhile and commits it
// together, so the price of flushing a disk is shared by whoever waits at the time. Thread-safe.
class WriteQueue final : public std::enable_shared_from_this<WriteQueue> {
 public:
  using Batch = std::vector<std::shared_ptr<Write>>;
  // Commits a batch and then calls Finish() for each of its writes. Runs on the writer's thread.
  using Commit = absl::AnyInvocable<void(const Batch&)>;

  // `max_bytes` bounds the writes that wait.
  WriteQueue(Tasks* tasks, size_t max_bytes) : tasks_(tasks), max_bytes_(max_bytes) {}
  ~WriteQueue() { Shutdown(); }

  // Starts the thread.
  void Start(Commit commit);

  // Writes that wait end with CANCELLED, as do later ones; one that is being committed ends as it does. Returns when
  // the thread has ended. Not thread-safe against itself.
  void Shutdown();

  // Queues a write of about `bytes`. `done` runs once, on the scheduler. RESOURCE_EXHAUSTED where too much waits
  // already.
  CallHandle Add(size_t bytes, absl::Duration timeout, Write::Stage stage, Backend::DoneCallback done);

  // Ends a write, unless something else has ended it before.
  void Finish(Write& write, absl::Status status);

 private:
  friend class Write;

  void Run(Commit commit);
  Batch NextBatch();
  // Ends a write that waits, and one that is being committed only where `while_running` says so.
  void GiveUp(Write& write, absl::StatusCode code, bool while_running);
  void End(Write& write, Backend::DoneCallback done, absl::Status status);

  Tasks* const tasks_;
  const size_t max_bytes_;
  std::thread thread_;

  Mutex mu_;
  CondVar changed_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<std::shared_ptr<Write>> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_WRITE_QUEUE_H_
