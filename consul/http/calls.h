// What every call of the backend shares: its deadline, its cancelling, the way from the curl loop to the Scheduler, and
// the count that Shutdown() waits for.
#ifndef MESHGATE_CONSUL_HTTP_CALLS_H_
#define MESHGATE_CONSUL_HTTP_CALLS_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/base/tasks.h"
#include "consul/http/curl_loop.h"
#include "consul/relay.h"
#include "consul/reporter.h"

namespace meshgate::consul::http {

// One call of the backend: requests that follow each other, under one deadline and one Cancel(). Valid for as long as
// somebody holds it, also when the backend is gone.
class ActiveCall final : public Call {
 public:
  ActiveCall(std::weak_ptr<CurlLoop> loop, absl::Time deadline, CallToken token = std::nullopt)
      : loop_(std::move(loop)), deadline_(deadline), token_(std::move(token)) {}

  absl::Time deadline() const { return deadline_; }
  // Of every step.
  const CallToken& token() const { return token_; }
  bool cancelled();
  // Numbers a step that is about to be sent.
  int NextStep();
  // The request that the call waits for in `step`. A step may end, and the next one be attached, before the thread that
  // began it comes here: what is older than the attached one is over, and ignored.
  void Attach(int step, CurlLoop::TransferHandle transfer);
  void Cancel() override;

 private:
  void CancelTransfer(const CurlLoop::TransferHandle& transfer);

  const std::weak_ptr<CurlLoop> loop_;
  const absl::Time deadline_;
  const CallToken token_;
  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  int steps_ ABSL_GUARDED_BY(mu_) = 0;
  int attached_ ABSL_GUARDED_BY(mu_) = 0;
  CurlLoop::TransferHandle transfer_ ABSL_GUARDED_BY(mu_);
};
using ActiveCallHandle = std::shared_ptr<ActiveCall>;

// Thread-safe.
class Calls {
 public:
  // `scheduler` and `reporter` outlive it.
  Calls(CurlLoopOptions options, Scheduler* scheduler, BackendReporter* reporter);
  // Same as Shutdown().
  ~Calls();

  // See Backend::Shutdown(). The Scheduler has to be running.
  void Shutdown();

  // A call that ends `timeout` from now.
  ActiveCallHandle Begin(absl::Duration timeout, CallToken token = std::nullopt);

  // `received` is on the Scheduler's clock.
  using Next = absl::AnyInvocable<void(Response response, absl::Time received)>;

  // Sends a request as the next step of `call`; its timeout is what is left of the call's. `next` runs once, on the
  // Scheduler; it may send the step after this one.
  void Send(const ActiveCallHandle& call, Endpoint endpoint, Request request, Next next);

  // Sends a request whose answer goes to its receiver. `done` runs once, after the receiver's last call: on the loop's
  // thread, or on the Scheduler where the call was cancelled.
  std::shared_ptr<RelayCall> Stream(Endpoint endpoint, Request request, CurlLoop::Done done);

  int limit(Pool pool) const { return loop_->limit(pool); }

  // Runs `task` on the Scheduler; Shutdown() waits for it.
  void Post(absl::AnyInvocable<void()> task) { tasks_.Post(std::move(task)); }

  // Whether another agent has come into use within the last seconds.
  bool JustMoved() const { return Now() - absl::FromUnixNanos(moved_at_) < kJustMoved; }

 private:
  // Longer than a watch pauses between an answer and its next query.
  static constexpr absl::Duration kJustMoved = absl::Seconds(3);

  absl::Time Now() const { return tasks_.scheduler()->Now(); }
  // Adds what the loop tells to what it is to be told with.
  CurlLoopOptions Reporting(CurlLoopOptions options);

  Tasks tasks_;
  BackendReporter* const reporter_;
  // In nanoseconds of the Scheduler's clock: a Time is too large for an atomic.
  std::atomic<int64_t> moved_at_{std::numeric_limits<int64_t>::min()};
  const std::shared_ptr<CurlLoop> loop_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CALLS_H_
