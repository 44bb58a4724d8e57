#include "consul/watch/upstream_watch.h"

#include <algorithm>
#include <utility>

#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

constexpr int kBurst = 2;
constexpr absl::Duration kPace = absl::Milliseconds(20);
constexpr absl::Duration kSpuriousPace = absl::Seconds(1);

}  // namespace

UpstreamWatch::UpstreamWatch(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, Target target,
                             absl::Duration wait, std::weak_ptr<Listener> listener, uint64_t seed)
    : backend_(backend),
      scheduler_(scheduler),
      reporter_(reporter),
      target_(std::move(target)),
      wait_(wait),
      listener_(std::move(listener)),
      backoff_(BackoffOptions{}, seed),
      pace_(kBurst, kPace),
      spurious_pace_(kBurst, kSpuriousPace) {}

void UpstreamWatch::Start() { Poll(); }

void UpstreamWatch::Stop() {
  CallHandle call;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    stopped_ = true;
    call = std::move(call_);
    if (timer_ != 0) scheduler_->Cancel(timer_);
  }
  if (call != nullptr) call->Cancel();
}

void UpstreamWatch::Poll() {
  ReadOptions options;
  uint64_t query;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    timer_ = 0;
    query = ++query_;
    options.index = blocking_.next_index();
    if (options.index != 0) options.wait = wait_;
    // The first two failures tell readers quickly; from then on it waits for Consul.
    options.patient = failures_ >= 2;
    sent_ = scheduler_->Now();
  }
  CallHandle call = Fetch(
      *backend_, target_, options,
      [self = shared_from_this(), query](absl::StatusOr<Fetched> answer) { self->OnAnswer(query, std::move(answer)); });
  {
    MutexLock lock(mu_);
    if (!stopped_) {
      // The answer may have been faster, and the next query's handle be here already.
      if (query == query_) call_ = std::move(call);
      return;
    }
  }
  call->Cancel();
}

void UpstreamWatch::PollAfter(absl::Duration delay) {
  if (delay <= absl::ZeroDuration()) {
    Poll();
    return;
  }
  MutexLock lock(mu_);
  if (stopped_) return;
  timer_ = scheduler_->After(delay, [self = shared_from_this()] { self->Poll(); });
}

void UpstreamWatch::OnAnswer(uint64_t query, absl::StatusOr<Fetched> answer) {
  using Verdict = BlockingQueryState::Verdict;
  std::shared_ptr<Listener> listener = listener_.lock();
  if (listener == nullptr) return;

  Verdict verdict = Verdict::kUnusable;
  bool blocked = false;
  int failures = 0;
  {
    MutexLock lock(mu_);
    if (stopped_ || query != query_) return;
    const absl::Time now = scheduler_->Now();
    if (answer.ok()) {
      blocked = blocking_.next_index() != 0;
      // Consul only ever adds to the wait; the tenth is for clocks.
      const bool early = blocked && now - sent_ < wait_ * 0.9;
      verdict = blocking_.OnAnswer(answer->meta.index, early);
    }
    if (verdict == Verdict::kUnusable) {
      blocking_.OnError();
      failures = ++failures_;
    } else {
      failures_ = 0;
      backoff_.Reset();
    }
  }

  if (verdict == Verdict::kUnusable) {
    listener->OnFailure(answer.ok()
                            ? MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                                        "Consul's answer carried no X-Consul-Index: is there a proxy that removes it?")
                            : answer.status(),
                        failures);
    absl::Duration delay;
    {
      MutexLock lock(mu_);
      delay = backoff_.Next();
    }
    PollAfter(delay);
    return;
  }

  bool changed = false;
  if (verdict == Verdict::kCurrent || verdict == Verdict::kReset) {
    if (verdict == Verdict::kReset) reporter_->OnIndexReset();
    changed = listener->OnState(*answer, verdict == Verdict::kReset);
  } else if (verdict == Verdict::kWaitEnded) {
    listener->OnConfirmed(answer->meta.received);
  }

  const bool spurious = blocked && !changed && verdict != Verdict::kWaitEnded;
  if (spurious) reporter_->OnSpuriousWakeup(target_.kind);
  absl::Duration delay;
  {
    MutexLock lock(mu_);
    const absl::Time now = scheduler_->Now();
    delay = pace_.Take(now);
    if (spurious) delay = std::max(delay, spurious_pace_.Take(now));
  }
  PollAfter(delay);
}

}  // namespace meshgate::consul
