#ifndef MESHGATE_CONSUL_WATCH_TOPIC_H_
#define MESHGATE_CONSUL_WATCH_TOPIC_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/upstream/upstream_member.h"
#include "consul/upstream/upstream_pool.h"
#include "consul/upstream/upstream_watch.h"
#include "consul/watch/feed.h"
#include "consul/watch/fresh_reads.h"
#include "consul/watch/hub.h"
#include "consul/watch/reader_list.h"
#include "consul/watch/state.h"
#include "consul/watch/state_store.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// One target: its upstream watch, its state, and who reads it. Made and kept by the hub. Thread-safe.
class Topic final : public UpstreamWatch::Listener, public std::enable_shared_from_this<Topic> {
 public:
  // The hub's half. Called without a lock held.
  class Owner {
   public:
    virtual ~Owner() = default;
    // The last reader or waiting caller has left.
    virtual void OnUnused(const std::shared_ptr<Topic>& topic) = 0;
    // The target can't be watched; its readers have been told.
    virtual void OnFailed(const std::shared_ptr<Topic>& topic) = 0;
  };

  // The pointers outlive the topic.
  static std::shared_ptr<Topic> Make(Target target, Backend* backend, UpstreamPool* pool, Scheduler* scheduler,
                                     WatchReporter* reporter, const HubOptions& options, std::weak_ptr<Owner> owner);

  const Target& target() const { return target_; }

  // Begins to watch, once. After Stop() nothing.
  void Start();

  // Ends the upstream watch. Callers that wait for a state get `reason`.
  void Stop(const absl::Status& reason);

  std::unique_ptr<Subscription> Subscribe(const View& view, std::optional<ResumeToken> resume, Subscriber* subscriber);
  // Returns false, with `done` untouched, where the topic was stopped before it had a state. The caller sees to it that
  // a topic which is unused afterwards is found to be so.
  bool Read(const CachedReadOptions& options, absl::AnyInvocable<void(absl::StatusOr<CachedState>)>& done);
  std::unique_ptr<Awaiting> Await(const AwaitOptions& options,
                                  absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done);

  // Whether somebody reads it or waits for its state. Without a lock, as the next two.
  bool in_use() const { return users_ > 0; }
  bool has_state() const { return has_state_; }
  // An answer that is kept as it is, of which many would be too much to keep for those who may come back.
  bool is_large() const { return large_; }
  // Has a state that Consul can't be asked for at the moment.
  bool is_last_known() const { return has_state_ && stale_; }

  // UpstreamWatch::Listener
  Lost WhatIsLost(const State& state) override;
  bool OnState(const Fetched& fetched, bool reset) override;
  void OnConfirmed(absl::Time received) override;
  void OnFailure(const absl::Status& error, int consecutive) override;

 private:
  Topic(Target target, Backend* backend, Scheduler* scheduler, WatchReporter* reporter, const HubOptions& options,
        std::weak_ptr<Owner> owner);

  class Reader;
  struct Audience {
    explicit Audience(Feed f) : feed(std::move(f)) {}
    Feed feed;
    size_t readers = 0;
    // One for each thread that some of them live on, and how many.
    std::vector<std::pair<std::shared_ptr<ReaderList>, size_t>> lists;
  };
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<CachedState>)>;
  // A caller of Read() whose answer is not there yet.
  struct Waiter {
    ReadDone done;
    Scheduler::TimerId timer = 0;
    uint64_t min_index = 0;
    std::optional<absl::Duration> max_age;
    // Waits for a read of its own, past the state held.
    bool fresh = false;
  };
  using Wakes = std::vector<std::shared_ptr<ReaderList>>;

  // Where its state outlives the process; null: nowhere. Queries are kept in memory alone: some are made with a token
  // of which nothing is written down.
  StateStore* store() const { return target_.kind == TargetKind::kQuery ? nullptr : options_.store; }

  absl::StatusOr<SharedMessage> NextFor(Reader& reader, NextMemo* memo);
  SharedMessage ProgressFor(Reader& reader);
  void Leave(Reader& reader);

  // A reader came back with a newer state than there is here. Its message waits until that has come by the upstream
  // watch; or a quorum read says that Consul does not have it any more, or has what there is here; or for
  // kCatchUpWithin.
  void AwaitCatchUp(uint64_t number, const View& view, const ResumeToken& held);
  bool IsCatchingUp(uint64_t number) const;
  bool Shows(const View& view, const Digest& digest) const;
  // Of what a quorum read brought, which those who came together share.
  Digest DigestOfRead(const SharedState& state, const View& view);
  void EndCatchUp(uint64_t number);

  // Until Consul has answered for the first time the store's state is kept ready: readers get it, as stale, when the
  // first query fails or takes longer than `patience`. A failure is held back while the store is being asked, so that
  // nobody hears "nothing is known" too early.
  void AskStore();
  void OnStored(std::optional<StoredState> stored);
  void OnPatienceEnd();
  void FallBack();
  // Returns whether there is a state now that was not there before.
  bool FallBackLocked(Wakes& wakes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes it the state that readers and the next difference start from.
  void AdoptLocked(StoredState stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Audience& AudienceLocked(const View& view) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  CachedState CachedLocked(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetStaleLocked(std::optional<absl::Time> since, Wakes& wakes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NewVersionLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Its readers have something to be told; what any memo holds is out of date.
  void CollectLocked(const Audience& audience, Wakes& wakes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<ReaderList> JoinListLocked(Audience& audience, ReaderThread* thread)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveListLocked(Audience& audience, const ReaderList* list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void WakeAll(const Wakes& wakes);
  uint64_t AddWaiterLocked(const CachedReadOptions& options, ReadDone done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Answers the waiter, unless somebody else has.
  void AnswerWaiter(uint64_t id, absl::StatusOr<CachedState> answer);
  // Asks Consul with a quorum, past the state held, for a waiter that is marked so.
  void ReadFresh(uint64_t waiter);
  // Answers those that wait for the state; those for whom it is too old go on to a fresh read.
  void AnswerWithState(const CachedState& state);
  // Those of Await(), who are answered once.
  struct PendingAwait {
    ReadDone done;
    uint64_t index = 0;
    Scheduler::TimerId timer = 0;
  };
  class AwaitHandle;
  void Unawait(uint64_t id);
  void AnswerAwait(uint64_t id, absl::StatusOr<CachedState> answer);
  void OnAwaitEnd(uint64_t id);
  // Whether a caller that holds what the index stands for has something to be told.
  bool IsNewsLocked(uint64_t index) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The state with the index that Consul would give for it.
  CachedState AwaitedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The caller holds a later index than is known here: either that is about to come, or Consul has lost it.
  void AskWhetherLost(uint64_t id, uint64_t index);
  bool IsAwaited(uint64_t id);
  // The state has changed or is the first one, or, with `reset`, indexes have gone back.
  void AnswerAwaits(bool first, bool reset);
  void FailAwaits(const absl::Status& error);

  // Answers those that wait for the state, or all, with an error.
  void FailWaiters(const absl::Status& error, bool fresh_too);
  void TellOwnerIfUnused();

  const Target target_;
  Scheduler* const scheduler_;
  WatchReporter* const reporter_;
  const HubOptions options_;
  const std::weak_ptr<Owner> owner_;
  const std::shared_ptr<FreshReads> fresh_reads_;
  // Constant from Make() on.
  std::shared_ptr<UpstreamMember> upstream_;

  mutable Mutex mu_;
  SharedState state_ ABSL_GUARDED_BY(mu_);  // null: not known yet
  // Of the last usable answer, changed or not.
  uint64_t index_ ABSL_GUARDED_BY(mu_) = 0;
  // Of the answer that brought the state; 0: none has.
  uint64_t changed_at_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time confirmed_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Time> stale_since_ ABSL_GUARDED_BY(mu_);
  // All of AskStore(); of no use once Consul has answered.
  std::optional<StoredState> stored_ ABSL_GUARDED_BY(mu_);
  bool asking_store_ ABSL_GUARDED_BY(mu_) = false;
  bool out_of_patience_ ABSL_GUARDED_BY(mu_) = false;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status held_back_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId patience_timer_ ABSL_GUARDED_BY(mu_) = 0;
  // Why there is no state yet, and why the target can't be watched at all.
  absl::Status last_error_ ABSL_GUARDED_BY(mu_);
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<Audience>> audiences_ ABSL_GUARDED_BY(mu_);
  uint64_t next_waiter_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, Reader*> catching_up_ ABSL_GUARDED_BY(mu_);
  // The latest of DigestOfRead(), while somebody is catching up.
  SharedState digested_ ABSL_GUARDED_BY(mu_);
  View digested_view_ ABSL_GUARDED_BY(mu_);
  Digest digest_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, Waiter> waiters_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, PendingAwait> awaits_ ABSL_GUARDED_BY(mu_);

  // Of what readers may be told. Unique in the process: another topic in the same place has another.
  std::atomic<uint64_t> version_{0};

  // What the hub asks while it holds its own lock, and must not wait for; written under mu_.
  std::atomic<size_t> users_{0};  // readers and those who wait for an answer
  std::atomic<bool> has_state_{false};
  std::atomic<bool> stale_{false};
  std::atomic<bool> large_{false};
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_TOPIC_H_
