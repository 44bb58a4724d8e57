#include "consul/watch/topic.h"

#include <algorithm>
#include <utility>

#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

// One failed query is often an agent's restart or an election that the first retry survives; readers are told from the
// second one on.
constexpr int kFailuresUntilStale = 2;

// Of a query's answer: see is_large().
constexpr size_t kLargeQuery = 64 << 10;

// Errors that trying again does not mend, where there never was a state. Where there was one something else has
// changed: a datacenter that can't be reached any more is unknown to Consul, too.
bool IsPermanent(const absl::Status& error) {
  return error.code() == absl::StatusCode::kInvalidArgument || error.code() == absl::StatusCode::kNotFound;
}

// Errors that a reader without a state must hear about, though an operator may mend them.
bool IsRefusal(const absl::Status& error) {
  return error.code() == absl::StatusCode::kPermissionDenied || error.code() == absl::StatusCode::kUnauthenticated;
}

}  // namespace

std::shared_ptr<Topic> Topic::Make(Target target, Backend* backend, UpstreamPool* pool, Scheduler* scheduler,
                                   WatchReporter* reporter, const HubOptions& options, std::weak_ptr<Owner> owner) {
  std::shared_ptr<Topic> topic(new Topic(std::move(target), backend, scheduler, reporter, options, std::move(owner)));
  topic->upstream_ = pool->Watch(topic->target_, std::weak_ptr<UpstreamWatch::Listener>(topic));
  return topic;
}

Topic::Topic(Target target, Backend* backend, Scheduler* scheduler, WatchReporter* reporter, const HubOptions& options,
             std::weak_ptr<Owner> owner)
    : target_(std::move(target)),
      scheduler_(scheduler),
      reporter_(reporter),
      options_(options),
      owner_(std::move(owner)),
      fresh_reads_(std::make_shared<FreshReads>(backend, target_)) {}

void Topic::Start() {
  AskStore();
  upstream_->Start();
}

void Topic::Stop(const absl::Status& reason) {
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    stopped_ = true;
    if (patience_timer_ != 0) scheduler_->Cancel(patience_timer_);
  }
  upstream_->Stop();
  FailWaiters(reason, /*fresh_too=*/true);
  FailAwaits(reason);
}

CachedState Topic::CachedLocked(absl::Time now) const {
  return CachedState{state_, index_, now - confirmed_, stale_since_.has_value(), false};
}

Lost Topic::WhatIsLost(const State& state) {
  SharedState held;
  {
    MutexLock lock(mu_);
    // What another process has left here is what readers that come back hold.
    held = state_ == nullptr && stored_.has_value() ? stored_->state : state_;
  }
  return held != nullptr ? LostBetween(target_.kind, *held, state) : Lost{};
}

bool Topic::OnState(const Fetched& fetched, bool reset) {
  // Nobody else replaces the state from here on, so it can be compared without keeping readers from it.
  SharedState before;
  uint64_t index_before;
  std::optional<StoredState> stored;
  bool unanswered;
  {
    MutexLock lock(mu_);
    before = state_;
    index_before = index_;
    unanswered = state_ == nullptr;
    if (!std::exchange(answered_, true)) {
      if (patience_timer_ != 0) scheduler_->Cancel(patience_timer_);
      held_back_ = absl::OkStatus();
      stored = std::exchange(stored_, std::nullopt);
      if (stored.has_value()) {
        before = stored->state;
        index_before = stored->index;
      }
    }
  }
  std::vector<Change> changes;
  if (before != nullptr) changes = Diff(target_.kind, *before, *fetched.state);
  // The store's index may have passed the old one before it was asked again.
  if (!reset && before != nullptr) {
    reset = ShowEarlierTime(target_.kind, changes, *before, index_before, *fetched.state);
  }
  const bool first = before == nullptr;

  Wakes wakes;
  CachedState cached;
  StoredState to_store;
  {
    MutexLock lock(mu_);
    if (stopped_) return false;
    if (stored.has_value()) {
      // Nobody has seen it, but readers that come back with it from before a restart get just the difference.
      AdoptLocked(*std::move(stored));
      for (const auto& audience : audiences_) CollectLocked(*audience, wakes);
    }
    index_ = *fetched.meta.index;
    // Also where indexes go back and nothing else does: callers come back with what they are given.
    changed_at_ = std::min(changed_at_, index_);
    confirmed_ = fetched.meta.received;
    last_error_ = absl::OkStatus();
    SetStaleLocked(std::nullopt, wakes);
    if (first || !changes.empty()) {
      state_ = fetched.state;
      has_state_ = true;
      large_ = state_->query.body.size() > kLargeQuery;
      changed_at_ = index_;
      for (auto& audience : audiences_) {
        if (audience->feed.Publish(state_, &changes, index_, confirmed_, reset)) CollectLocked(*audience, wakes);
      }
    }
    cached = CachedLocked(scheduler_->Now());
    to_store = {state_, index_, confirmed_};
  }
  WakeAll(wakes);
  if (unanswered) AnswerWithState(cached);
  if (unanswered || reset || !changes.empty()) AnswerAwaits(unanswered, reset);
  if (store() != nullptr) store()->Save(target_, std::move(to_store));
  const auto deletes =
      static_cast<int>(std::count_if(changes.begin(), changes.end(), [](const Change& c) { return !c.exists_now; }));
  const int puts = static_cast<int>(changes.size()) - deletes;
  if (puts > 0) reporter_->OnEvents(target_.kind, WatchReporter::EventType::kPut, puts);
  if (deletes > 0) reporter_->OnEvents(target_.kind, WatchReporter::EventType::kDelete, deletes);
  return first || !changes.empty();
}

void Topic::OnConfirmed(absl::Time received) {
  Wakes wakes;
  StoredState to_store;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    confirmed_ = received;
    SetStaleLocked(std::nullopt, wakes);
    to_store = {state_, index_, confirmed_};
  }
  WakeAll(wakes);
  if (store() != nullptr && to_store.state != nullptr) store()->Save(target_, std::move(to_store));
}

void Topic::OnFailure(const absl::Status& error, int consecutive) {
  Wakes wakes;
  bool gave_up = false;
  std::optional<CachedState> fell_back;
  {
    MutexLock lock(mu_);
    // A failure that was held back may come just when Consul has answered after all.
    if (stopped_ || (answered_ && state_ == nullptr)) return;
    if (asking_store_ && state_ == nullptr) {
      held_back_ = error;
      return;
    }
    if (FallBackLocked(wakes)) fell_back = CachedLocked(scheduler_->Now());
    // A query is its caller's: what its token may no longer read it is not to be given again.
    const bool refused = IsRefusal(error) && (state_ == nullptr || target_.kind == TargetKind::kQuery);
    if (refused || (state_ == nullptr && IsPermanent(error))) {
      failed_ = error;
      gave_up = true;
      for (const auto& audience : audiences_) CollectLocked(*audience, wakes);
    } else {
      if (state_ == nullptr) last_error_ = error;
      // A blocking query that outlived its wait has met an agent that hangs: that took long enough.
      const bool hangs = error.code() == absl::StatusCode::kDeadlineExceeded;
      if (state_ == nullptr || hangs || consecutive >= kFailuresUntilStale) {
        SetStaleLocked(state_ == nullptr ? scheduler_->Now() : confirmed_, wakes);
      }
    }
  }
  WakeAll(wakes);
  if (fell_back.has_value()) {
    AnswerWithState(*fell_back);
    AnswerAwaits(/*first=*/true, /*reset=*/false);
  }
  FailWaiters(error, /*fresh_too=*/gave_up);
  if (gave_up) FailAwaits(error);
  if (!gave_up) return;
  if (auto owner = owner_.lock()) owner->OnFailed(shared_from_this());
}

void Topic::SetStaleLocked(std::optional<absl::Time> since, Wakes& wakes) {
  if (since.has_value() == stale_since_.has_value()) return;
  stale_since_ = since;
  stale_ = since.has_value();
  for (auto& audience : audiences_) {
    if (audience->feed.SetStale(since)) CollectLocked(*audience, wakes);
  }
}

void Topic::NewVersionLocked() {
  static std::atomic<uint64_t> last{0};
  version_.store(++last, std::memory_order_release);
}

void Topic::CollectLocked(const Audience& audience, Wakes& wakes) {
  NewVersionLocked();
  for (const auto& [list, readers] : audience.lists) wakes.push_back(list);
}

void Topic::WakeAll(const Wakes& wakes) {
  for (const auto& list : wakes) list->WakeSoon();
}

void Topic::TellOwnerIfUnused() {
  if (in_use()) return;
  if (auto owner = owner_.lock()) owner->OnUnused(shared_from_this());
}

}  // namespace meshgate::consul
