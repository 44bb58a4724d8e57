// Single reads of a topic's state, and those that wait for it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/watch/topic.h"

namespace meshgate::consul {
namespace {

bool Accepts(std::optional<absl::Duration> max_age, const CachedState& cached) {
  return !cached.stale || !max_age.has_value() || cached.age <= *max_age;
}

absl::Status TooStale(absl::Duration age) {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kTooStale,
                                  absl::StrCat("Consul can't be reached, and what is known is ",
                                               absl::FormatDuration(absl::Trunc(age, absl::Milliseconds(1))),
                                               " old, more than options.max_age: raise it or try again later")),
                        absl::Seconds(1));
}

}  // namespace

bool Topic::Read(const CachedReadOptions& options, ReadDone& done) {
  using Result = WatchReporter::CacheResult;
  absl::StatusOr<CachedState> answer = absl::UnknownError("");
  Result result = Result::kMiss;
  uint64_t fresh = 0;
  bool wait = false;
  {
    MutexLock lock(mu_);
    if (!failed_.ok()) {
      answer = failed_;
    } else if (state_ != nullptr && index_ < options.min_index) {
      fresh = AddWaiterLocked(options, std::move(done));
      waiters_[fresh].fresh = true;
    } else if (state_ != nullptr) {
      answer = CachedLocked(scheduler_->Now());
      result = answer->stale ? Result::kStale : Result::kHit;
      if (!Accepts(options.max_age, *answer)) {
        result = Result::kRefused;
        answer = TooStale(answer->age);
      }
    } else if (!last_error_.ok()) {
      // It is being tried again; a caller does better to hear why than to wait.
      answer = last_error_;
    } else if (stopped_) {
      return false;
    } else {
      AddWaiterLocked(options, std::move(done));
      wait = true;
    }
  }
  reporter_->OnCacheRequest(result);
  if (fresh != 0) {
    ReadFresh(fresh);
  } else if (!wait) {
    done(std::move(answer));
  }
  return true;
}

uint64_t Topic::AddWaiterLocked(const CachedReadOptions& options, ReadDone done) {
  const uint64_t id = next_waiter_++;
  Waiter& waiter = waiters_[id];
  ++users_;
  waiter.done = std::move(done);
  waiter.min_index = options.min_index;
  waiter.max_age = options.max_age;
  if (options.timeout != absl::InfiniteDuration()) {
    waiter.timer = scheduler_->After(options.timeout, [self = shared_from_this(), id] {
      self->AnswerWaiter(id, MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                                       "Consul has not answered within the deadline"));
    });
  }
  return id;
}

void Topic::AnswerWaiter(uint64_t id, absl::StatusOr<CachedState> answer) {
  Waiter waiter;
  {
    MutexLock lock(mu_);
    auto it = waiters_.find(id);
    if (it == waiters_.end()) return;
    waiter = std::move(it->second);
    waiters_.erase(it);
    --users_;
  }
  if (waiter.timer != 0) scheduler_->Cancel(waiter.timer);
  waiter.done(std::move(answer));
  TellOwnerIfUnused();
}

void Topic::ReadFresh(uint64_t waiter) {
  fresh_reads_->Read([self = shared_from_this(), waiter](absl::StatusOr<Fetched> fetched) {
    if (!fetched.ok()) {
      self->AnswerWaiter(waiter, std::move(fetched).status());
      return;
    }
    self->AnswerWaiter(waiter, CachedState{std::move(fetched->state), fetched->meta.index.value_or(0),
                                           absl::ZeroDuration(), false, true});
  });
}

void Topic::AnswerWithState(const CachedState& state) {
  std::vector<uint64_t> satisfied;
  std::vector<uint64_t> refused;
  std::vector<uint64_t> too_old;
  {
    MutexLock lock(mu_);
    for (auto& [id, waiter] : waiters_) {
      if (waiter.fresh) continue;
      waiter.fresh = state.index < waiter.min_index;
      (waiter.fresh ? too_old : Accepts(waiter.max_age, state) ? satisfied : refused).push_back(id);
    }
  }
  for (uint64_t id : satisfied) AnswerWaiter(id, state);
  for (uint64_t id : refused) AnswerWaiter(id, TooStale(state.age));
  for (uint64_t id : too_old) ReadFresh(id);
}

void Topic::FailWaiters(const absl::Status& error, bool fresh_too) {
  std::vector<uint64_t> failed;
  {
    MutexLock lock(mu_);
    for (const auto& [id, waiter] : waiters_) {
      if (fresh_too || !waiter.fresh) failed.push_back(id);
    }
  }
  for (uint64_t id : failed) AnswerWaiter(id, error);
}

}  // namespace meshgate::consul
