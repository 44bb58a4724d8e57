#include "consul/upstream/upstream_watch.h"

#include <algorithm>
#include <utility>

#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

constexpr int kBurst = 2;
constexpr absl::Duration kPace = absl::Milliseconds(20);
constexpr absl::Duration kSpuriousPace = absl::Seconds(1);

// Without seats, loops read once in so long each, and so many a second at most in all.
constexpr absl::Duration kPollInterval = absl::Seconds(1);
constexpr double kPollsPerSecond = 50;

// Loops that are refused together ask again so many a second at most, and each at least once in so long. Those that
// meet no Consul at all need no such care: the backend lets them go when it is back.
constexpr double kRetriesPerSecond = 500;
constexpr absl::Duration kLongestRetry = absl::Seconds(20);

// So many failures tell readers quickly; from then on a read waits for Consul's return.
constexpr int kPatientAfter = 2;

// An index older than that may be of a store that has been lost since: an agent can be killed and be back, empty, in
// half a second. A blocking query with it would wait for nothing, so it is read anew first.
constexpr absl::Duration kIndexGoodFor = absl::Milliseconds(250);

// Between reads of a target of which Consul hides a part that readers hold.
constexpr absl::Duration kHiddenRetry = absl::Seconds(5);

// Of a query that is young while seats are scarce.
constexpr absl::Duration kShortestWait = absl::Seconds(1);

}  // namespace

UpstreamWatch::UpstreamWatch(std::shared_ptr<UpstreamContext> context, Target target, Seats::Rank rank,
                             size_t max_bytes, std::weak_ptr<Listener> listener, uint64_t seed)
    : context_(std::move(context)),
      target_(std::move(target)),
      rank_(rank),
      max_bytes_(max_bytes),
      listener_(std::move(listener)),
      made_(context_->scheduler->Now()),
      backoff_(BackoffOptions{}, seed),
      pace_(kBurst, kPace),
      spurious_pace_(kBurst, kSpuriousPace) {}

void UpstreamWatch::Start() {
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    started_ = true;
    context_->reporter->OnUpstreamWatches(target_.kind, +1);
  }
  Ask();
}

void UpstreamWatch::Stop() {
  CallHandle call;
  std::optional<Seats::Seat> seat;
  bool waited = false;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    stopped_ = true;
    if (timer_ != 0) context_->scheduler->Cancel(timer_);
    if (waits_for_seat_ != 0) context_->seats->Cancel(waits_for_seat_);
    waited = std::exchange(waits_for_seat_, 0) != 0;
    ForgetFailuresLocked();
    const bool runs_out = under_way_ && blocks_ && context_->scarce();
    if (!runs_out) {
      call = std::move(call_);
      seat = std::move(seat_);
      seat_.reset();
    }
    if (started_) context_->reporter->OnUpstreamWatches(target_.kind, -1);
  }
  if (waited) context_->reporter->OnPolled(-1);
  if (call != nullptr) call->Cancel();
}

void UpstreamWatch::Ask() {
  const std::shared_ptr<Listener> listener = listener_.lock();
  if (listener == nullptr) return;
  const bool plainly = listener->OnAsk();
  uint64_t index;
  bool patient;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    timer_ = 0;
    polls_ = false;
    if (plainly || context_->scheduler->Now() - answered_ > kIndexGoodFor) blocking_.AskPlainly();
    index = blocking_.next_index();
    patient = failures_ >= kPatientAfter;
  }
  if (index != 0) {
    bool again = false;
    if (Seated(*listener, again)) Send(index, std::nullopt);
    if (!again) return;
    MutexLock lock(mu_);
    if (stopped_) return;
    blocking_.AskPlainly();
  }
  // A patient read may wait in the backend for as long as Consul is away, and must not keep the turns from those that
  // have yet to fail, and to tell their readers.
  if (patient) {
    Send(0, std::nullopt);
  } else if (auto turn = context_->reads->TryTake(rank_)) {
    Send(0, std::move(turn));
  } else {
    context_->reads->Wait(rank_, [weak = weak_from_this()](Seats::Seat turn) {
      if (auto self = weak.lock()) self->Send(0, std::move(turn));
    });
  }
}

void UpstreamWatch::AskPlainly() {
  {
    MutexLock lock(mu_);
    blocking_.AskPlainly();
  }
  Ask();
}

void UpstreamWatch::AskAfter(absl::Duration delay, bool plainly) {
  if (delay <= absl::ZeroDuration()) {
    Ask();
    return;
  }
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    // Otherwise a seat that was waited for has come just now.
    if (!plainly || !seat_.has_value()) {
      polls_ = plainly;
      timer_ = context_->scheduler->After(
          delay, [self = shared_from_this(), plainly] { plainly ? self->AskPlainly() : self->Ask(); });
      return;
    }
  }
  Ask();
}

bool UpstreamWatch::Seated(Listener& listener, bool& again) {
  {
    MutexLock lock(mu_);
    if (seat_.has_value()) return true;
  }
  again = listener.OnSeatWanted();
  if (again) return false;
  bool waits = false;
  {
    MutexLock lock(mu_);
    if (stopped_) return false;
    if (waits_for_seat_ == 0 && !seat_.has_value()) {
      seat_ = context_->seats->TryTake(rank_);
      waits = !seat_.has_value();
      if (waits) {
        waits_for_seat_ = context_->seats->Wait(rank_, [weak = weak_from_this()](Seats::Seat seat) {
          if (auto self = weak.lock()) self->OnSeat(std::move(seat));
        });
      }
    }
    if (seat_.has_value()) return true;
  }
  if (waits) context_->reporter->OnPolled(+1);
  AskAfter(PollInterval(), /*plainly=*/true);
  return false;
}

void UpstreamWatch::OnSeat(Seats::Seat seat) {
  bool ask;
  {
    MutexLock lock(mu_);
    // Whoever stopped the loop meanwhile has not been able to cancel this; the seat goes back.
    if (stopped_) return;
    waits_for_seat_ = 0;
    seat_ = std::move(seat);
    ask = polls_ && context_->scheduler->Cancel(timer_);
  }
  context_->reporter->OnPolled(-1);
  // Otherwise a read is under way or about to be, and the query comes after it.
  if (ask) Ask();
}

absl::Duration UpstreamWatch::PollInterval() const {
  return std::max(kPollInterval, absl::Seconds(static_cast<double>(context_->seats->waiting()) / kPollsPerSecond));
}

void UpstreamWatch::Send(uint64_t index, std::optional<Seats::Seat> turn) {
  if (const auto listener = listener_.lock()) listener->OnSend(index != 0);
  ReadOptions options;
  uint64_t query;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    query = ++query_;
    under_way_ = true;
    sent_ = context_->scheduler->Now();
    options.index = index;
    options.max_bytes = max_bytes_;
    options.patient = failures_ >= kPatientAfter;
    blocks_ = index != 0;
    asks_quorum_ = !blocks_ && (failures_ > 0 || std::exchange(doubt_, false));
    if (asks_quorum_) options.mode = ReadMode::kConsistent;
    if (blocks_) {
      options.wait = context_->wait;
      if (context_->scarce()) options.wait = std::min(options.wait, std::max(kShortestWait, sent_ - made_));
    }
    sent_wait_ = options.wait;
  }
  CallHandle call = Fetch(*context_->backend, target_, options,
                          [self = shared_from_this(), turn = std::move(turn)](absl::StatusOr<Fetched> answer) mutable {
                            turn.reset();
                            self->OnAnswer(std::move(answer));
                          });
  bool cancel;
  {
    MutexLock lock(mu_);
    // The answer may have been faster, and the next query's handle be here already.
    if (query != query_ || !under_way_) return;
    call_ = call;
    cancel = stopped_ && !(blocks_ && context_->scarce());
  }
  if (cancel) call->Cancel();
}

void UpstreamWatch::ForgetFailuresLocked() {
  if (std::exchange(failures_, 0) > 0) --context_->failing;
}

void UpstreamWatch::OnAnswer(absl::StatusOr<Fetched> answer) {
  using Verdict = BlockingQueryState::Verdict;
  const std::shared_ptr<Listener> listener = listener_.lock();

  Verdict verdict = Verdict::kUnusable;
  bool blocked = false;
  // Given back without the lock.
  std::optional<Seats::Seat> seat;
  {
    MutexLock lock(mu_);
    under_way_ = false;
    call_ = nullptr;
    if (stopped_ || listener == nullptr) {
      seat = std::move(seat_);
      seat_.reset();
      return;
    }
    if (answer.ok()) {
      answered_ = context_->scheduler->Now();
      blocked = blocks_;
      // Consul only ever adds to the wait; the tenth is for clocks.
      const bool early = blocked && context_->scheduler->Now() - sent_ < sent_wait_ * 0.9;
      if (!asks_quorum_ && blocking_.GoesBack(answer->meta.index)) {
        // Only a quorum is believed.
        blocking_.AskPlainly();
        verdict = Verdict::kSuspect;
      } else {
        verdict = blocking_.OnAnswer(answer->meta.index, early);
      }
      if (verdict == Verdict::kReset) reset_ = true;
      if (verdict == Verdict::kSuspect) doubt_ = true;
    }
  }
  if (verdict == Verdict::kReset) context_->reporter->OnIndexReset();

  if (verdict == Verdict::kUnusable) {
    Fail(*listener, answer.ok()
                        ? MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                                    "Consul's answer carried no X-Consul-Index: is there a proxy that removes it?")
                        : answer.status());
    return;
  }
  if (verdict == Verdict::kCurrent || verdict == Verdict::kReset) {
    if (Lost lost = listener->WhatIsLost(*answer->state); !lost.empty()) {
      Confirm(std::move(lost), *std::move(answer), verdict, blocked);
      return;
    }
  }
  Proceed(*listener, *answer, verdict, blocked);
}

void UpstreamWatch::Confirm(Lost lost, Fetched answer, BlockingQueryState::Verdict verdict, bool blocked) {
  uint64_t query;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    query = ++query_;
    under_way_ = true;
    blocks_ = false;
  }
  CallHandle call =
      ConfirmGone(*context_->backend, target_, std::move(lost),
                  [self = shared_from_this(), answer = std::move(answer), verdict, blocked](const absl::Status& gone) {
                    const std::shared_ptr<Listener> listener = self->listener_.lock();
                    std::optional<Seats::Seat> seat;
                    {
                      MutexLock lock(self->mu_);
                      self->under_way_ = false;
                      self->call_ = nullptr;
                      if (self->stopped_ || listener == nullptr) {
                        seat = std::move(self->seat_);
                        self->seat_.reset();
                        return;
                      }
                    }
                    if (gone.ok()) {
                      self->Proceed(*listener, answer, verdict, blocked);
                    } else {
                      self->context_->reporter->OnUnconfirmed(self->target_.kind);
                      self->Fail(*listener, gone);
                    }
                  });
  MutexLock lock(mu_);
  if (query == query_ && under_way_) call_ = std::move(call);
}

void UpstreamWatch::Fail(Listener& listener, const absl::Status& error) {
  int failures;
  // Given back without the lock. Others can use it while this loop only reads plainly.
  std::optional<Seats::Seat> seat;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    blocking_.OnError();
    if (failures_ == 0) ++context_->failing;
    failures = ++failures_;
    if (failures_ >= kPatientAfter) {
      seat = std::move(seat_);
      seat_.reset();
    }
  }
  seat.reset();
  listener.OnFailure(error, failures);
  absl::Duration delay;
  {
    MutexLock lock(mu_);
    delay = backoff_.Next();
  }
  if (!absl::IsUnavailable(error)) {
    delay = std::max(delay, std::min(absl::Seconds(context_->failing / kRetriesPerSecond), kLongestRetry));
  }
  // Nothing wakes whoever waits for a policy to be changed, and that may take for ever. Readers hear from the second
  // failure on that what they hold is stale.
  if (ReasonOf(error) == reason::kHidden && failures > 1) delay = std::max(delay, kHiddenRetry);
  AskAfter(delay, /*plainly=*/false);
}

void UpstreamWatch::Proceed(Listener& listener, const Fetched& answer, BlockingQueryState::Verdict verdict,
                            bool blocked) {
  using Verdict = BlockingQueryState::Verdict;
  bool reset;
  {
    MutexLock lock(mu_);
    ForgetFailuresLocked();
    backoff_.Reset();
    reset = reset_;
    if (verdict == Verdict::kCurrent || verdict == Verdict::kReset) reset_ = false;
  }
  bool changed = false;
  if (verdict == Verdict::kCurrent || verdict == Verdict::kReset) {
    changed = listener.OnState(answer, reset);
  } else if (verdict == Verdict::kWaitEnded) {
    listener.OnConfirmed(answer.meta.received);
  }

  const bool spurious = blocked && !changed && verdict != Verdict::kWaitEnded;
  if (spurious) context_->reporter->OnSpuriousWakeup(target_.kind);
  absl::Duration delay;
  {
    MutexLock lock(mu_);
    const absl::Time now = context_->scheduler->Now();
    delay = pace_.Take(now);
    if (spurious) delay = std::max(delay, spurious_pace_.Take(now));
  }
  AskAfter(delay, /*plainly=*/false);
}

}  // namespace meshgate::consul
