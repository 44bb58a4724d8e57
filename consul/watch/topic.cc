#include "consul/watch/topic.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

// Readers woken by one task: enough to keep the workers from fighting over tasks, few enough to share the work.
constexpr size_t kWakesPerTask = 512;

// One failed query is often an agent's restart or an election that the first retry survives; readers are told from the
// second one on.
constexpr int kFailuresUntilStale = 2;

// Errors that trying again does not mend.
bool IsPermanent(const absl::Status& error) {
  return error.code() == absl::StatusCode::kInvalidArgument || error.code() == absl::StatusCode::kNotFound;
}

// Errors that a reader without a state must hear about, though an operator may mend them.
bool IsRefusal(const absl::Status& error) {
  return error.code() == absl::StatusCode::kPermissionDenied || error.code() == absl::StatusCode::kUnauthenticated;
}

// What a caller gets who does not accept a state of this age; OK for one who does.
absl::Status TooStale(const CachedState& cached, const CachedReadOptions& options) {
  if (!cached.stale || !options.max_age.has_value() || cached.age <= *options.max_age) return absl::OkStatus();
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kTooStale,
                                  absl::StrCat("Consul can't be reached, and what is known is ",
                                               absl::FormatDuration(absl::Trunc(cached.age, absl::Milliseconds(1))),
                                               " old, more than options.max_age: raise it or try again later")),
                        absl::Seconds(1));
}

}  // namespace

class Topic::Reader final : public Subscription {
 public:
  Reader(std::shared_ptr<Topic> topic, Audience* audience, size_t place)
      : topic_(std::move(topic)), audience_(audience), place_(place) {}
  ~Reader() override { topic_->Leave(*this); }

  absl::StatusOr<SharedMessage> Next() override { return topic_->NextFor(*this); }
  SharedMessage Progress() override { return topic_->ProgressFor(*this); }
  TargetKind kind() const override { return topic_->target_.kind; }

 private:
  friend class Topic;

  const std::shared_ptr<Topic> topic_;
  // Guarded by the topic's lock.
  Audience* const audience_;
  size_t place_;
  Feed::Mark mark_;
};

std::shared_ptr<Topic> Topic::Make(Target target, Backend* backend, Scheduler* scheduler, WatchReporter* reporter,
                                   const HubOptions& options, std::weak_ptr<Owner> owner) {
  std::shared_ptr<Topic> topic(new Topic(std::move(target), backend, scheduler, reporter, options, std::move(owner)));
  // One seed per target and process, so that many targets that fail together don't retry together.
  const uint64_t seed = absl::HashOf(topic->target_) ^ static_cast<uint64_t>(absl::ToUnixNanos(scheduler->Now()));
  topic->upstream_ = std::make_shared<UpstreamWatch>(backend, scheduler, reporter, topic->target_, options.wait,
                                                     std::weak_ptr<UpstreamWatch::Listener>(topic), seed);
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
  reporter_->OnUpstreamWatches(target_.kind, +1);
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
  reporter_->OnUpstreamWatches(target_.kind, -1);
  AnswerWaiters(reason);
}

std::unique_ptr<Subscription> Topic::Subscribe(const View& view, std::optional<Digest> resume,
                                               std::weak_ptr<Subscriber> subscriber) {
  reporter_->OnStreams(target_.kind, +1);
  std::unique_ptr<Reader> reader;
  std::weak_ptr<Subscriber> wake;
  {
    MutexLock lock(mu_);
    Audience& audience = AudienceLocked(view);
    reader = std::make_unique<Reader>(shared_from_this(), &audience, audience.readers.size());
    reader->mark_.resume = resume;
    if (state_ != nullptr || stale_since_.has_value() || !failed_.ok()) wake = subscriber;
    audience.readers.emplace_back(reader.get(), std::move(subscriber));
    ++readers_;
  }
  WakeAll({wake});
  return reader;
}

Topic::Audience& Topic::AudienceLocked(const View& view) {
  for (auto& audience : audiences_) {
    if (audience->feed.view() == view) return *audience;
  }
  audiences_.push_back(std::make_unique<Audience>(Feed(target_.kind, view, options_.ring_events, options_.ring_bytes)));
  Feed& feed = audiences_.back()->feed;
  if (state_ != nullptr) feed.Publish(state_, index_, confirmed_, /*continuity_lost=*/false);
  feed.SetStale(stale_since_);
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
    --readers_;
    // A view that nobody has is not kept up to date; the first one costs nothing extra.
    if (readers.empty() && audiences_.size() > 1) {
      audiences_.erase(std::find_if(audiences_.begin(), audiences_.end(),
                                    [audience](const auto& a) { return a.get() == audience; }));
    }
  }
  TellOwnerIfUnused();
}

absl::StatusOr<SharedMessage> Topic::NextFor(Reader& reader) {
  int64_t merged = 0;
  SharedMessage message;
  {
    MutexLock lock(mu_);
    if (!failed_.ok()) return failed_;
    message = reader.audience_->feed.Next(reader.mark_, scheduler_->Now(), merged);
  }
  if (merged > 0) reporter_->OnMerged(target_.kind, merged);
  return message;
}

SharedMessage Topic::ProgressFor(Reader& reader) {
  MutexLock lock(mu_);
  return reader.audience_->feed.Progress(reader.mark_, scheduler_->Now());
}

bool Topic::Read(const CachedReadOptions& options, absl::AnyInvocable<void(absl::StatusOr<CachedState>)>& done) {
  using Result = WatchReporter::CacheResult;
  std::optional<Result> result;
  absl::StatusOr<CachedState> answer = absl::UnknownError("");
  bool fresh = false;
  {
    MutexLock lock(mu_);
    const absl::Time now = scheduler_->Now();
    if (!failed_.ok()) {
      answer = failed_;
      result = Result::kMiss;
    } else if (state_ != nullptr && index_ < options.min_index) {
      fresh = true;
    } else if (state_ != nullptr) {
      answer = CachedLocked(now);
      result = answer->stale ? Result::kStale : Result::kHit;
      if (absl::Status refused = TooStale(*answer, options); !refused.ok()) {
        result = Result::kRefused;
        answer = std::move(refused);
      }
    } else if (!last_error_.ok()) {
      // It is being tried again; a caller does better to hear why than to wait.
      answer = last_error_;
      result = Result::kMiss;
    } else if (stopped_) {
      return false;
    } else {
      const uint64_t id = next_waiter_++;
      Waiter& waiter = waiters_[id];
      waiter.options = options;
      waiter.done = std::move(done);
      if (options.timeout != absl::InfiniteDuration()) {
        waiter.timer = scheduler_->After(options.timeout, [self = shared_from_this(), id] {
          Waiter expired;
          {
            MutexLock lock(self->mu_);
            auto it = self->waiters_.find(id);
            if (it == self->waiters_.end()) return;
            expired = std::move(it->second);
            self->waiters_.erase(it);
          }
          expired.done(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                                 "Consul has not answered within the deadline"));
          self->TellOwnerIfUnused();
        });
      }
      reporter_->OnCacheRequest(Result::kMiss);
      return true;
    }
  }
  if (fresh) {
    reporter_->OnCacheRequest(Result::kMiss);
    ReadFresh(std::move(done));
  } else {
    reporter_->OnCacheRequest(*result);
    done(std::move(answer));
  }
  TellOwnerIfUnused();
  return true;
}

void Topic::ReadFresh(absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  fresh_reads_->Read([done = std::move(done)](absl::StatusOr<Fetched> fetched) mutable {
    if (!fetched.ok()) {
      done(std::move(fetched).status());
      return;
    }
    done(CachedState{std::move(fetched->state), fetched->meta.index.value_or(0), absl::ZeroDuration(), false, true});
  });
}

CachedState Topic::CachedLocked(absl::Time now) const {
  return CachedState{state_, index_, now - confirmed_, stale_since_.has_value(), false};
}

bool Topic::in_use() const {
  MutexLock lock(mu_);
  return readers_ > 0 || !waiters_.empty();
}

bool Topic::has_state() const {
  MutexLock lock(mu_);
  return state_ != nullptr;
}

bool Topic::is_last_known() const {
  MutexLock lock(mu_);
  return state_ != nullptr && stale_since_.has_value();
}

bool Topic::OnState(const Fetched& fetched, bool reset) {
  Wakes wakes;
  std::vector<Change> changes;
  CachedState cached;
  StoredState to_store;
  bool unanswered;
  bool first;
  {
    MutexLock lock(mu_);
    if (stopped_) return false;
    unanswered = state_ == nullptr;
    if (unanswered) {
      if (patience_timer_ != 0) scheduler_->Cancel(patience_timer_);
      held_back_ = absl::OkStatus();
      if (stored_.has_value()) {
        // Nobody has seen it, but readers that come back with it from before the restart get just the difference.
        AdoptLocked();
        for (const auto& audience : audiences_) CollectLocked(*audience, wakes);
      }
    }
    first = state_ == nullptr;
    if (!first) changes = Diff(target_.kind, *state_, *fetched.state);
    index_ = *fetched.meta.index;
    confirmed_ = fetched.meta.received;
    last_error_ = absl::OkStatus();
    SetStaleLocked(std::nullopt, wakes);
    if (first || !changes.empty()) {
      state_ = fetched.state;
      for (auto& audience : audiences_) {
        if (audience->feed.Publish(state_, index_, confirmed_, reset)) CollectLocked(*audience, wakes);
      }
    }
    cached = CachedLocked(scheduler_->Now());
    to_store = {state_, index_, confirmed_};
  }
  WakeAll(std::move(wakes));
  if (unanswered) AnswerWaiters(cached);
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
  absl::StatusOr<CachedState> answer = error;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    if (state_ == nullptr && !IsPermanent(error)) {
      if (asking_store_) {
        held_back_ = error;
        return;
      }
      if (FallBackLocked(wakes)) answer = CachedLocked(scheduler_->Now());
    }
    if (IsPermanent(error) || (IsRefusal(error) && state_ == nullptr)) {
      failed_ = error;
      gave_up = true;
      for (const auto& audience : audiences_) CollectLocked(*audience, wakes);
    } else {
      if (state_ == nullptr) last_error_ = error;
      if (state_ == nullptr || consecutive >= kFailuresUntilStale) {
        SetStaleLocked(state_ == nullptr ? scheduler_->Now() : confirmed_, wakes);
      }
    }
  }
  WakeAll(std::move(wakes));
  AnswerWaiters(answer);
  if (!gave_up) return;
  if (auto owner = owner_.lock()) owner->OnFailed(shared_from_this());
}

void Topic::SetStaleLocked(std::optional<absl::Time> since, Wakes& wakes) {
  if (since.has_value() == stale_since_.has_value()) return;
  stale_since_ = since;
  for (auto& audience : audiences_) {
    if (audience->feed.SetStale(since)) CollectLocked(*audience, wakes);
  }
}

void Topic::CollectLocked(const Audience& audience, Wakes& wakes) {
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

void Topic::AnswerWaiters(const absl::StatusOr<CachedState>& answer) {
  absl::flat_hash_map<uint64_t, Waiter> waiters;
  {
    MutexLock lock(mu_);
    waiters.swap(waiters_);
  }
  if (waiters.empty()) return;
  for (auto& [id, waiter] : waiters) {
    if (waiter.timer != 0) scheduler_->Cancel(waiter.timer);
    if (answer.ok() && answer->index < waiter.options.min_index) {
      ReadFresh(std::move(waiter.done));
    } else if (absl::Status refused = answer.ok() ? TooStale(*answer, waiter.options) : answer.status();
               !refused.ok()) {
      waiter.done(std::move(refused));
    } else {
      waiter.done(answer);
    }
  }
  TellOwnerIfUnused();
}

void Topic::TellOwnerIfUnused() {
  if (in_use()) return;
  if (auto owner = owner_.lock()) owner->OnUnused(shared_from_this());
}

}  // namespace meshgate::consul
