#include "consul/watch/topic.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

// Readers woken by one task: enough to keep the workers from fighting over tasks, few enough to share the work.
constexpr size_t kWakesPerTask = 512;

// One failed query is often an agent's restart or an election that the first retry survives; readers are told from the
// second one on.
constexpr int kFailuresUntilStale = 2;

// How long a reader is kept from an older state than the one it came back with. Gateways in front of one Consul are
// milliseconds apart; it takes longer where Consul hangs, and then the reader loses nothing by hearing nothing, as
// those who stayed do. As long as a blocking query may by default.
constexpr absl::Duration kCatchUpWithin = absl::Seconds(30);

// Errors that trying again does not mend, where there never was a state. Where there was one something else has
// changed: a datacenter that can't be reached any more is unknown to Consul, too.
bool IsPermanent(const absl::Status& error) {
  return error.code() == absl::StatusCode::kInvalidArgument || error.code() == absl::StatusCode::kNotFound;
}

// Errors that a reader without a state must hear about, though an operator may mend them.
bool IsRefusal(const absl::Status& error) {
  return error.code() == absl::StatusCode::kPermissionDenied || error.code() == absl::StatusCode::kUnauthenticated;
}

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

class Topic::Reader final : public Subscription {
 public:
  Reader(std::shared_ptr<Topic> topic, Audience* audience, size_t place)
      : topic_(std::move(topic)), audience_(audience), place_(place) {}
  ~Reader() override { topic_->Leave(*this); }

  absl::StatusOr<SharedMessage> Next(NextMemo* memo) override { return topic_->NextFor(*this, memo); }
  SharedMessage Progress() override { return topic_->ProgressFor(*this); }
  TargetKind kind() const override { return topic_->target_.kind; }

 private:
  friend class Topic;

  const std::shared_ptr<Topic> topic_;
  Audience* const audience_;
  // Guarded by the topic's lock; the mark only while it is catching up, otherwise it is the reader's thread's.
  size_t place_;
  Feed::Mark mark_;
  // In catching_up_; 0: it is not, and never will be. Constant once the reader is out of Subscribe().
  uint64_t catch_up_ = 0;
  Scheduler::TimerId catch_up_timer_ = 0;
};

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
}

std::unique_ptr<Subscription> Topic::Subscribe(const View& view, std::optional<ResumeToken> resume,
                                               std::weak_ptr<Subscriber> subscriber) {
  reporter_->OnStreams(target_.kind, +1);
  std::unique_ptr<Reader> reader;
  std::weak_ptr<Subscriber> wake;
  uint64_t catch_up = 0;
  {
    MutexLock lock(mu_);
    Audience& audience = AudienceLocked(view);
    reader = std::make_unique<Reader>(shared_from_this(), &audience, audience.readers.size());
    reader->mark_.resume = resume;
    if (state_ != nullptr || stale_since_.has_value() || !failed_.ok()) wake = subscriber;
    audience.readers.emplace_back(reader.get(), std::move(subscriber));
    ++users_;
    if (!stopped_ && audience.feed.IsBehind(reader->mark_)) {
      catch_up = next_waiter_++;
      reader->mark_.waits = true;
      reader->catch_up_ = catch_up;
      reader->catch_up_timer_ =
          scheduler_->After(kCatchUpWithin, [self = shared_from_this(), catch_up] { self->EndCatchUp(catch_up); });
      catching_up_[catch_up] = reader.get();
    }
  }
  WakeAll({wake});
  if (catch_up != 0) AwaitCatchUp(catch_up, view, *resume);
  return reader;
}

void Topic::AwaitCatchUp(uint64_t number, const View& view, const ResumeToken& held) {
  fresh_reads_->Read([self = shared_from_this(), number, view, held](absl::StatusOr<Fetched> fetched) {
    if (!fetched.ok() || fetched->meta.index.value_or(0) >= held.index) return;
    // A query that others share may have told the same state with a higher index.
    const TargetKind kind = self->target_.kind;
    if (DigestOf(kind, *Filter(kind, fetched->state, view)) != held.digest) self->EndCatchUp(number);
  });
}

void Topic::EndCatchUp(uint64_t number) {
  std::weak_ptr<Subscriber> wake;
  {
    MutexLock lock(mu_);
    auto it = catching_up_.find(number);
    if (it == catching_up_.end()) return;
    Reader& reader = *it->second;
    reader.mark_.waits = false;
    wake = reader.audience_->readers[reader.place_].second;
    catching_up_.erase(it);
  }
  WakeAll({wake});
}

Topic::Audience& Topic::AudienceLocked(const View& view) {
  for (auto& audience : audiences_) {
    if (audience->feed.view() == view) return *audience;
  }
  audiences_.push_back(std::make_unique<Audience>(Feed(target_.kind, view, options_.ring_events, options_.ring_bytes)));
  Feed& feed = audiences_.back()->feed;
  if (state_ != nullptr) feed.Publish(state_, nullptr, index_, confirmed_, /*continuity_lost=*/false);
  feed.SetStale(stale_since_);
  // It may stand where one was that a memo knows.
  NewVersionLocked();
  return *audiences_.back();
}

void Topic::Leave(Reader& reader) {
  reporter_->OnStreams(target_.kind, -1);
  {
    MutexLock lock(mu_);
    Audience* audience = reader.audience_;
    auto& readers = audience->readers;
    readers[reader.place_] = std::move(readers.back());
    readers[reader.place_].first->place_ = reader.place_;
    readers.pop_back();
    --users_;
    if (reader.catch_up_ != 0) {
      catching_up_.erase(reader.catch_up_);
      scheduler_->Cancel(reader.catch_up_timer_);
    }
    // A view that nobody has is not kept up to date; the first one costs nothing extra.
    if (readers.empty() && audiences_.size() > 1) {
      audiences_.erase(std::find_if(audiences_.begin(), audiences_.end(),
                                    [audience](const auto& a) { return a.get() == audience; }));
    }
  }
  TellOwnerIfUnused();
}

absl::StatusOr<SharedMessage> Topic::NextFor(Reader& reader, NextMemo* memo) {
  Feed::Mark& mark = reader.mark_;
  // A mark with a past of its own is led back on its own; a message that tells how stale it is ages.
  const bool plain = memo != nullptr && reader.catch_up_ == 0 && !mark.resume.has_value() && !mark.told_stale;
  if (plain && memo->audience_ == reader.audience_ && memo->version_ == version_.load(std::memory_order_acquire) &&
      memo->sequence_ == mark.sequence && memo->epoch_ == mark.epoch) {
    mark.sequence = memo->sequence_after_;
    mark.epoch = memo->epoch_after_;
    if (memo->merged_ > 0) reporter_->OnMerged(target_.kind, memo->merged_);
    return memo->message_;
  }
  int64_t merged = 0;
  SharedMessage message;
  {
    MutexLock lock(mu_);
    if (!failed_.ok()) return failed_;
    const Feed::Mark before = mark;
    message = reader.audience_->feed.Next(mark, scheduler_->Now(), merged);
    if (plain && !mark.told_stale) {
      memo->audience_ = reader.audience_;
      memo->version_ = version_.load(std::memory_order_relaxed);
      memo->sequence_ = before.sequence;
      memo->epoch_ = before.epoch;
      memo->sequence_after_ = mark.sequence;
      memo->epoch_after_ = mark.epoch;
      memo->merged_ = merged;
      memo->message_ = message;
    }
  }
  if (merged > 0) reporter_->OnMerged(target_.kind, merged);
  return message;
}

SharedMessage Topic::ProgressFor(Reader& reader) {
  MutexLock lock(mu_);
  return reader.audience_->feed.Progress(reader.mark_, scheduler_->Now());
}

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
    confirmed_ = fetched.meta.received;
    last_error_ = absl::OkStatus();
    SetStaleLocked(std::nullopt, wakes);
    if (first || !changes.empty()) {
      state_ = fetched.state;
      has_state_ = true;
      for (auto& audience : audiences_) {
        if (audience->feed.Publish(state_, &changes, index_, confirmed_, reset)) CollectLocked(*audience, wakes);
      }
    }
    cached = CachedLocked(scheduler_->Now());
    to_store = {state_, index_, confirmed_};
  }
  WakeAll(std::move(wakes));
  if (unanswered) AnswerWithState(cached);
  if (options_.store != nullptr) options_.store->Save(target_, std::move(to_store));
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
    confirmed_ = received;
    SetStaleLocked(std::nullopt, wakes);
    to_store = {state_, index_, confirmed_};
  }
  WakeAll(std::move(wakes));
  if (options_.store != nullptr && to_store.state != nullptr) options_.store->Save(target_, std::move(to_store));
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
    if (state_ == nullptr && (IsPermanent(error) || IsRefusal(error))) {
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
  WakeAll(std::move(wakes));
  if (fell_back.has_value()) AnswerWithState(*fell_back);
  FailWaiters(error, /*fresh_too=*/gave_up);
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
  wakes.reserve(wakes.size() + audience.readers.size());
  for (const auto& [reader, subscriber] : audience.readers) wakes.push_back(subscriber);
}

void Topic::WakeAll(Wakes wakes) {
  for (size_t begin = 0; begin < wakes.size(); begin += kWakesPerTask) {
    const size_t end = std::min(wakes.size(), begin + kWakesPerTask);
    Wakes some(std::make_move_iterator(wakes.begin() + static_cast<std::ptrdiff_t>(begin)),
               std::make_move_iterator(wakes.begin() + static_cast<std::ptrdiff_t>(end)));
    scheduler_->Post([some = std::move(some)] {
      for (const auto& weak : some) {
        if (auto subscriber = weak.lock()) subscriber->Wake();
      }
    });
  }
}

void Topic::TellOwnerIfUnused() {
  if (in_use()) return;
  if (auto owner = owner_.lock()) owner->OnUnused(shared_from_this());
}

}  // namespace meshgate::consul
