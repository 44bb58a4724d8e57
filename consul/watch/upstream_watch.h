#ifndef MESHGATE_CONSUL_WATCH_UPSTREAM_WATCH_H_
#define MESHGATE_CONSUL_WATCH_UPSTREAM_WATCH_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/resilience/backoff.h"
#include "consul/resilience/token_bucket.h"
#include "consul/watch/blocking_query_state.h"
#include "consul/watch/fetch.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// The loop of blocking queries behind one topic: asks, tells what came, paces itself, asks again. At most one query is
// under way at a time, and the listener is called by one thread at a time.
class UpstreamWatch final : public std::enable_shared_from_this<UpstreamWatch> {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // The target as Consul holds it, to be compared. `reset`: its indexes went back. Returns whether it was a change.
    virtual bool OnState(const Fetched& fetched, bool reset) = 0;
    // Consul was heard, and nothing has changed.
    virtual void OnConfirmed(absl::Time received) = 0;
    // It will be tried again, unless the listener calls Stop(). `consecutive` failures so far, 1 and up.
    virtual void OnFailure(const absl::Status& error, int consecutive) = 0;
  };

  // `backend`, `scheduler` and `reporter` outlive the watch. `seed` is for the jitter of retries.
  UpstreamWatch(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, Target target, absl::Duration wait,
                std::weak_ptr<Listener> listener, uint64_t seed);

  // Once.
  void Start();

  // Cancels the query under way. The listener may still be being called when it returns, and is not called again after.
  void Stop();

 private:
  void Poll();
  void PollAfter(absl::Duration delay);
  void OnAnswer(uint64_t query, absl::StatusOr<Fetched> answer);

  Backend* const backend_;
  Scheduler* const scheduler_;
  WatchReporter* const reporter_;
  const Target target_;
  const absl::Duration wait_;
  const std::weak_ptr<Listener> listener_;

  Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t query_ ABSL_GUARDED_BY(mu_) = 0;  // counts the queries, to know the latest one's handle
  CallHandle call_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;

  BlockingQueryState blocking_ ABSL_GUARDED_BY(mu_);
  absl::Time sent_ ABSL_GUARDED_BY(mu_);
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
  Backoff backoff_ ABSL_GUARDED_BY(mu_);
  // Consul's documentation asks for a limit on the loop; a fixed sleep would miss merged writes for nothing.
  TokenBucket pace_ ABSL_GUARDED_BY(mu_);
  // Returns that bring nothing (an absent key is woken by every write to the store) are paid from a smaller purse.
  TokenBucket spurious_pace_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_UPSTREAM_WATCH_H_
