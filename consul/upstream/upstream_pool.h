// The upstream watches of a hub, within a budget of queries.
#ifndef MESHGATE_CONSUL_UPSTREAM_UPSTREAM_POOL_H_
#define MESHGATE_CONSUL_UPSTREAM_UPSTREAM_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/upstream/planner.h"
#include "consul/upstream/shared_query.h"
#include "consul/upstream/upstream_member.h"
#include "consul/upstream/upstream_watch.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// Watches any number of targets with no more blocking queries than the backend has room for.
//
// Each target begins with a plain read of its own, so that its first state waits for no plan. Then it is watched by a
// query of its own while there is room: 160 queries, and no more than three quarters of the seats. Beyond that keys and
// prefixes with a common prefix share a recursive query of that (planner.h), and are split again when they have become
// few. The listener never notices. What is kept true:
//   - Nothing goes back in time. What a shared query brings counts for a target only if the query was sent after the
//     target had joined; what the target's own query brings does not count from then on.
//   - Nothing is missed. A target joins a query only with a state as new as the query's last answer. Even if that query
//     is waiting, it then wakes for the target's changes, too; its answer doesn't count for the target, but the next
//     one is then a plain read at once, which does.
//   - A key that is gone from a shared answer may be deleted or may have become forbidden. It leaves and is read by
//     itself, as few at a time as first reads are: 404 is a deletion, 403 a failure. It joins again afterwards. So does
//     a prefix that has lost keys, whose own query finds out about them (UpstreamWatch::Listener::WhatIsLost()).
//   - A quarter of the seats is kept for shared queries, and a new plan uses half, so that a change of plan finds seats
//     free while the old queries run out (UpstreamWatch::Stop()).
//
// Bounds, with `seats` blocking queries to be had: what is watched by a waiting query is heard of at once, paced as
// UpstreamWatch says. A target whose query has no seat is heard of within max(1 s, n / 50 s) and a read, where n
// queries have none: for long only services and catalogs, where those are more than three quarters of the seats, and
// keys with no first character in common; for others until the next plan (150 ms after it is found wanting, and 500 ms
// after the one before), and until its query has a seat: at most one wait (HubOptions::wait) later.
//
// Thread-safe.
class UpstreamPool final : public std::enable_shared_from_this<UpstreamPool> {
 public:
  using Listener = UpstreamWatch::Listener;

  // The pointers outlive the pool, until Shutdown(). `wait` is that of a blocking query, at most.
  static std::shared_ptr<UpstreamPool> Make(Backend* backend, Scheduler* scheduler, WatchReporter* reporter,
                                            absl::Duration wait);

  // Never null. Begins with Start(), once, and ends with Stop(); then the listener may still be being called, and is
  // not called again. It is called by one thread at a time, without a lock held, and its OnAsk() and OnSeatWanted()
  // never.
  std::shared_ptr<UpstreamMember> Watch(Target target, std::weak_ptr<Listener> listener);

  // Ends every query. Idempotent.
  void Shutdown();

 private:
  friend class UpstreamMember;
  friend class SharedQuery;

  using Loops = std::vector<std::shared_ptr<UpstreamWatch>>;
  // By datacenter and prefix.
  using ShareKey = std::pair<std::string, std::string>;
  // What to do once the lock is released.
  struct Todo {
    Loops start;
    Loops stop;
    std::vector<std::shared_ptr<UpstreamMember>> deliver;
  };
  struct Measured {
    size_t bytes = 0;
    absl::Time at;
  };
  struct Budget {
    size_t target;   // Queries for keys and prefixes that a new plan may have.
    size_t ceiling;  // More than that need a new plan.
  };

  UpstreamPool(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, absl::Duration wait);

  // ---- Of UpstreamMember and its own query; `stint` is the query's.
  void Start(const std::shared_ptr<UpstreamMember>& member);
  void Stop(UpstreamMember& member);
  bool OnOwnState(UpstreamMember& member, uint64_t stint, const Fetched& fetched, bool reset);
  void OnOwnNews(UpstreamMember& member, uint64_t stint, Mailbox::News news);
  void OnOwnSend(UpstreamMember& member, uint64_t stint);
  bool OnOwnSeatWanted(const std::shared_ptr<UpstreamMember>& member, uint64_t stint);
  // Finds out when the backend's limit has changed.
  void CheckLimit();

  // ---- Of SharedQuery.
  bool OnShareAsk(SharedQuery& share);
  void OnShareSend(SharedQuery& share);
  bool OnShareState(SharedQuery& share, const Fetched& fetched, bool reset, SeenEntries seen,
                    const std::vector<std::string>& changed);
  // Whether the part of an answer that is a member's must not be believed before the member has been read by itself: it
  // may have been deleted, or be no longer for us to see. Then it leaves, is read, and joins again.
  static bool NeedsConfirmation(const UpstreamMember& member, std::pair<size_t, size_t> part);
  void OnShareConfirmed(SharedQuery& share, absl::Time received);
  void OnShareFailure(SharedQuery& share, const absl::Status& error, int consecutive);

  // ---- Membership.
  // The narrowest shared query that covers it, or null.
  SharedQuery* FindShareLocked(const Target& target) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Finds or makes it.
  SharedQuery& ShareLocked(const ShareKey& key, Todo& todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // It has no members any more.
  void RetireShareLocked(SharedQuery& share, Todo& todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the query, which may be waiting, is known to wake for whatever the member does not know.
  bool CanJoinLocked(const UpstreamMember& member, const SharedQuery& share) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void JoinLocked(const std::shared_ptr<UpstreamMember>& member, SharedQuery& share, Todo& todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // From its query of whichever kind; it has none then.
  void LeaveLocked(UpstreamMember& member, Todo& todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WatchAloneLocked(const std::shared_ptr<UpstreamMember>& member, Todo& todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The deliveries last: listeners may call Stop().
  static void Do(Todo todo);

  // ---- Planning (upstream_pool_plan.cc).
  Budget BudgetLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Queries that keys and prefixes have or want to have.
  size_t QueriesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return alone_ + shares_.size(); }
  void PlanIfTooManyLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PlanIfFewLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PlanSoonLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What an answer holds, and whether it is so much more than needed that there ought to be another plan.
  void WeighLocked(SharedQuery& share, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RememberSizeLocked(const SharedQuery& share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Replan();
  void ApplyLocked(const Plan& plan, const std::vector<std::shared_ptr<UpstreamMember>>& planned, Todo& todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<UpstreamContext> context_;

  Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<UpstreamMember>> members_ ABSL_GUARDED_BY(mu_);
  std::map<ShareKey, std::shared_ptr<SharedQuery>> shares_ ABSL_GUARDED_BY(mu_);
  // How long the prefixes of shares_ are, and how many are so long.
  std::map<size_t, int> share_lengths_ ABSL_GUARDED_BY(mu_);
  // Orders what is sent and what is answered.
  uint64_t events_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_stint_ ABSL_GUARDED_BY(mu_) = 1;
  // Services and catalogs.
  size_t unshareable_ ABSL_GUARDED_BY(mu_) = 0;
  // Keys and prefixes; those of them with a query of their own that have a state.
  size_t shareable_ ABSL_GUARDED_BY(mu_) = 0;
  size_t alone_ ABSL_GUARDED_BY(mu_) = 0;

  Scheduler::TimerId plan_timer_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time planned_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // At the last plan: the targets, and the queries it came to.
  size_t planned_targets_ ABSL_GUARDED_BY(mu_) = 0;
  size_t planned_queries_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<ShareKey, Measured> measured_ ABSL_GUARDED_BY(mu_);
  std::atomic<int> limit_seen_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_UPSTREAM_POOL_H_
