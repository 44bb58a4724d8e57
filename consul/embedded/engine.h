#ifndef MESHGATE_CONSUL_EMBEDDED_ENGINE_H_
#define MESHGATE_CONSUL_EMBEDDED_ENGINE_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/tasks.h"
#include "consul/embedded/check_runner.h"
#include "consul/embedded/prober.h"
#include "consul/embedded/store.h"
#include "consul/embedded/transaction.h"
#include "consul/embedded/waiters.h"
#include "consul/embedded/write_queue.h"

namespace meshgate::consul::embedded {

// What the embedded backend consists of, without its types of answers: the state, who waits for it, the way of a write
// to the disk and back, and the checks.
//
// A write is staged, committed and applied on the writer's thread, in batches; only then is it seen by readers and
// answered. So what a reader sees is on disk. Thread-safe.
class Engine final : public CheckRunner::Sink, public std::enable_shared_from_this<Engine> {
 public:
  // Runs once, on the scheduler: with OK where the query has its answer, which is then read from the state.
  using Finish = absl::AnyInvocable<void(absl::Status)>;

  // `scheduler` outlives this.
  Engine(Scheduler* scheduler, std::unique_ptr<Prober> prober, std::unique_ptr<Store> store, State state,
         size_t max_queued_bytes, CheckAllowList check_allow);

  // Starts the writer and the checks of what is registered already.
  void Start();

  // As Backend::Shutdown().
  void Shutdown();

  Scheduler* scheduler() const { return tasks_.scheduler(); }

  // Begins a read of what `kind` and `name` say, blocking where the options have an index.
  CallHandle Read(TargetKind kind, std::string name, const ReadOptions& options, Finish finish);

  // `bytes`: of what the write carries.
  CallHandle AddWrite(size_t bytes, absl::Duration timeout, Write::Stage stage, Backend::DoneCallback done) {
    return writes_->Add(bytes + kWriteOverhead, timeout, std::move(stage), std::move(done));
  }

  // Answers a call that reads and writes nothing.
  CallHandle Answer(absl::Status status, Finish finish);
  // The same with OK, or CANCELLED after Shutdown().
  CallHandle Check(Finish finish) { return Read(TargetKind::kCatalog, "", ReadOptions{}, std::move(finish)); }

  // Runs `read` on the state. It must be short: readers and the writer wait for each other here.
  template <typename Reader>
  auto WithState(Reader read) {
    MutexLock lock(mu_);
    return read(std::as_const(state_));
  }

  // Whether the report says nothing new and was only needed to keep the TTL from running out, which it has done.
  bool BeatWithoutWrite(const std::string& id, Health health);
  void Beat(const std::string& id) { checks_.Beat(id); }

  // Whether the last commit failed.
  bool storage_failed() const { return storage_failed_; }

  void OnStatus(const CheckRef& check, Health health, std::string output, Done done) override;
  void OnCriticalTooLong(const CheckRef& check) override;

 private:
  class ReadCall;

  // What a write costs in the queue beside its bytes.
  static constexpr size_t kWriteOverhead = 256;

  void Begin(const std::shared_ptr<ReadCall>& call);
  void End(const std::shared_ptr<ReadCall>& call, absl::Status status);
  bool shut_down();
  bool ChangedSince(const ReadCall& call, uint64_t index) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // On the writer's thread.
  void CommitBatch(const WriteQueue::Batch& batch);
  void CommitOneByOne(const WriteQueue::Batch& batch);
  void Publish(const std::vector<Mutation>& mutations);
  void UpdateChecks(const std::vector<Mutation>& mutations);

  Tasks tasks_;
  const std::unique_ptr<Store> store_;
  const std::unique_ptr<Prober> prober_;
  CheckRunner checks_;
  const std::shared_ptr<WriteQueue> writes_;
  std::atomic<bool> storage_failed_{false};

  // Held during Shutdown(), so that a second caller waits for the first.
  Mutex shutdown_mu_;

  Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  // Changed by the writer's thread alone, which may therefore read it without the lock.
  State state_ ABSL_GUARDED_BY(mu_);
  Waiters waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_ENGINE_H_
