#ifndef MESHGATE_CONSUL_UPSTREAM_UPSTREAM_WATCH_H_
#define MESHGATE_CONSUL_UPSTREAM_UPSTREAM_WATCH_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/resilience/backoff.h"
#include "consul/resilience/token_bucket.h"
#include "consul/upstream/blocking_query_state.h"
#include "consul/upstream/fetch.h"
#include "consul/upstream/seats.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// What all upstream watches of a hub have in common. The pointers outlive the watches.
struct UpstreamContext {
  Backend* backend = nullptr;
  Scheduler* scheduler = nullptr;
  WatchReporter* reporter = nullptr;
  // Of a blocking query, at most.
  absl::Duration wait;
  // For blocking queries, and for reads that don't block.
  std::shared_ptr<Seats> seats;
  std::shared_ptr<Seats> reads;
  // Loops whose last query has failed.
  std::atomic<int> failing{0};

  // Whether targets may have to share a query.
  bool shares() const { return backend->MaxBlockingQueries() != Backend::kUnlimited; }
  // Whether blocking queries are few, and cancelling one frees nothing.
  bool scarce() const { return backend->MaxBlockingQueries() < Backend::kScarce; }
};

// The loop of queries behind one question to Consul: asks, tells what came, paces itself, asks again. At most one query
// is under way at a time, and the listener is called by one thread at a time.
//
// A blocking query needs a seat, which the loop keeps for its next ones. Until it has one it reads plainly now and
// then: every `max(1 s, n / 50 s)` where n loops have none, so that a change is heard of within about that. While seats
// are scarce a young loop waits briefly (a second, and no longer than it has existed), so that seats come free soon
// after a crowd has arrived.
class UpstreamWatch final : public std::enable_shared_from_this<UpstreamWatch> {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // What the listener holds and `state` does not, where Consul may only be hiding it (Backend::ConfirmKeysGone). It
    // is confirmed to be gone before OnState() is called with that state; otherwise that is a failure.
    virtual Lost WhatIsLost(const State& state) { return {}; }
    // The target as Consul holds it, to be compared. `reset`: its indexes went back. Returns whether it was a change.
    virtual bool OnState(const Fetched& fetched, bool reset) = 0;
    // Consul was heard, and nothing has changed.
    virtual void OnConfirmed(absl::Time received) = 0;
    // It will be tried again, unless the listener calls Stop(). `consecutive` failures so far, 1 and up.
    virtual void OnFailure(const absl::Status& error, int consecutive) = 0;
    // Whether the next query must be a plain read.
    virtual bool OnAsk() { return false; }
    // It is sent now.
    virtual void OnSend(bool blocks) {}
    // A blocking query is to be sent, and the loop has no seat yet. The listener may Stop() it. Returns whether it must
    // be a plain read instead.
    virtual bool OnSeatWanted() { return false; }
  };

  // `max_bytes` of an answer; 0: the backend's own limit. `seed` is for the jitter of retries.
  UpstreamWatch(std::shared_ptr<UpstreamContext> context, Target target, Seats::Rank rank, size_t max_bytes,
                std::weak_ptr<Listener> listener, uint64_t seed);

  const Target& target() const { return target_; }

  // Once; after Stop() nothing.
  void Start();

  // Ends the loop. Its query under way is cancelled, or runs out with its answer unused where seats are scarce: it
  // keeps the seat until then. The listener may still be being called when it returns, and is not called again after.
  void Stop();

 private:
  void Ask();
  void AskPlainly();
  void AskAfter(absl::Duration delay, bool plainly);
  // Takes a seat or waits for one. Returns whether there is one. Sets `again` where the listener wants a plain read.
  bool Seated(Listener& listener, bool& again);
  void OnSeat(Seats::Seat seat);
  void Send(uint64_t index, std::optional<Seats::Seat> turn);
  void OnAnswer(absl::StatusOr<Fetched> answer);
  // Asks whether what the answer lacks is gone, and goes on from there.
  void Confirm(Lost lost, Fetched answer, BlockingQueryState::Verdict verdict, bool blocked);
  void Proceed(Listener& listener, const Fetched& answer, BlockingQueryState::Verdict verdict, bool blocked);
  void Fail(Listener& listener, const absl::Status& error);
  // How long until the next read without a seat.
  absl::Duration PollInterval() const;
  void ForgetFailuresLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<UpstreamContext> context_;
  const Target target_;
  const Seats::Rank rank_;
  const size_t max_bytes_;
  const std::weak_ptr<Listener> listener_;
  const absl::Time made_;

  Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t query_ ABSL_GUARDED_BY(mu_) = 0;  // counts the queries, to know the latest one's handle
  bool under_way_ ABSL_GUARDED_BY(mu_) = false;
  CallHandle call_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;
  // The timer is for a read without a seat.
  bool polls_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<Seats::Seat> seat_ ABSL_GUARDED_BY(mu_);
  // In the queue for a seat; 0: not.
  uint64_t waits_for_seat_ ABSL_GUARDED_BY(mu_) = 0;

  BlockingQueryState blocking_ ABSL_GUARDED_BY(mu_);
  bool blocks_ ABSL_GUARDED_BY(mu_) = false;  // the query under way
  // Consul's indexes went back, and the listener has not been told yet.
  bool reset_ ABSL_GUARDED_BY(mu_) = false;
  // The next plain read has to ask a quorum; and whether the one under way does. A leader that has just been elected
  // answers others before it has caught up with what its predecessor told.
  bool doubt_ ABSL_GUARDED_BY(mu_) = false;
  bool asks_quorum_ ABSL_GUARDED_BY(mu_) = false;
  // When the last answer came.
  absl::Time answered_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  absl::Time sent_ ABSL_GUARDED_BY(mu_);
  absl::Duration sent_wait_ ABSL_GUARDED_BY(mu_);
  // As a member of context_->failing it is counted once.
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
  Backoff backoff_ ABSL_GUARDED_BY(mu_);
  // Consul's documentation asks for a limit on the loop; a fixed sleep would miss merged writes for nothing.
  TokenBucket pace_ ABSL_GUARDED_BY(mu_);
  // Returns that bring nothing (an absent key is woken by every write to the store) are paid from a smaller purse.
  TokenBucket spurious_pace_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_UPSTREAM_WATCH_H_
