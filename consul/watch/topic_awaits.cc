// Questions that wait for a change of a topic's state: blocking queries as Consul itself answers them.
#include <utility>

#include "consul/base/errors.h"
#include "consul/watch/topic.h"

namespace meshgate::consul {
namespace {

// A caller that goes from one gateway to another may hold an index that is none of this one's, though nothing was lost;
// it must not make them ask a quorum in turns.
constexpr absl::Duration kAskWhetherLostAfter = absl::Seconds(1);

// A key that is there has its own, whatever else the query that brought it has read.
uint64_t IndexOf(TargetKind kind, const State& state, uint64_t index) {
  return kind == TargetKind::kKey && state.entries.size() == 1 ? state.entries.front().modify_index : index;
}

}  // namespace

class Topic::AwaitHandle final : public Awaiting {
 public:
  AwaitHandle(std::shared_ptr<Topic> topic, uint64_t id) : topic_(std::move(topic)), id_(id) {}
  ~AwaitHandle() override { topic_->Unawait(id_); }

 private:
  const std::shared_ptr<Topic> topic_;
  const uint64_t id_;
};

std::unique_ptr<Awaiting> Topic::Await(const AwaitOptions& options, ReadDone done) {
  absl::StatusOr<CachedState> answer = absl::UnknownError("");
  uint64_t id = 0;
  bool ahead = false;
  {
    MutexLock lock(mu_);
    if (!failed_.ok()) {
      answer = failed_;
    } else if (stopped_) {
      answer =
          MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "the gateway is shutting down: use another one");
    } else if (state_ == nullptr && !last_error_.ok()) {
      answer = last_error_;
    } else if (IsNewsLocked(options.index)) {
      answer = AwaitedLocked();
    } else {
      id = next_waiter_++;
      ++users_;
      ahead = state_ != nullptr && options.index > AwaitedLocked().index && !stale_since_.has_value();
      PendingAwait& await = awaits_[id];
      await.done = std::move(done);
      await.index = options.index;
      await.timer = scheduler_->After(options.wait, [weak = weak_from_this(), id] {
        if (auto self = weak.lock()) self->OnAwaitEnd(id);
      });
    }
  }
  reporter_->OnCacheRequest(answer.ok() ? WatchReporter::CacheResult::kHit : WatchReporter::CacheResult::kMiss);
  if (id == 0) {
    done(std::move(answer));
    return nullptr;
  }
  auto handle = std::make_unique<AwaitHandle>(shared_from_this(), id);
  if (ahead) AskWhetherLost(id, options.index);
  return handle;
}

bool Topic::IsNewsLocked(uint64_t index) const {
  return state_ != nullptr && IndexOf(target_.kind, *state_, changed_at_) > index;
}

CachedState Topic::AwaitedLocked() const {
  CachedState state = CachedLocked(scheduler_->Now());
  state.index = IndexOf(target_.kind, *state_, index_);
  return state;
}

void Topic::AskWhetherLost(uint64_t id, uint64_t index) {
  scheduler_->After(kAskWhetherLostAfter, [weak = weak_from_this(), id, index] {
    const auto topic = weak.lock();
    if (topic == nullptr || !topic->IsAwaited(id)) return;
    topic->fresh_reads_->Read([topic, id, index](absl::StatusOr<Fetched> fetched) {
      // Who does not know has nothing to tell; the upstream watch finds out in its own time.
      if (!fetched.ok()) return;
      const uint64_t now = IndexOf(topic->target_.kind, *fetched->state, fetched->meta.index.value_or(0));
      if (now == 0 || now >= index) return;
      topic->AnswerAwait(id, CachedState{std::move(fetched->state), now, absl::ZeroDuration(), false, true});
    });
  });
}

bool Topic::IsAwaited(uint64_t id) {
  MutexLock lock(mu_);
  return awaits_.contains(id);
}

void Topic::Unawait(uint64_t id) {
  {
    MutexLock lock(mu_);
    const auto it = awaits_.find(id);
    if (it == awaits_.end()) return;
    scheduler_->Cancel(it->second.timer);
    awaits_.erase(it);
    --users_;
  }
  TellOwnerIfUnused();
}

void Topic::AnswerAwait(uint64_t id, absl::StatusOr<CachedState> answer) {
  PendingAwait await;
  {
    MutexLock lock(mu_);
    const auto it = awaits_.find(id);
    if (it == awaits_.end()) return;
    await = std::move(it->second);
    awaits_.erase(it);
    --users_;
  }
  scheduler_->Cancel(await.timer);
  await.done(std::move(answer));
  TellOwnerIfUnused();
}

void Topic::OnAwaitEnd(uint64_t id) {
  absl::StatusOr<CachedState> answer = WithRetryAfter(
      MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "Consul has not answered within the wait"),
      absl::Seconds(1));
  {
    MutexLock lock(mu_);
    if (state_ != nullptr) answer = AwaitedLocked();
  }
  AnswerAwait(id, std::move(answer));
}

void Topic::AnswerAwaits(bool first, bool reset) {
  std::vector<uint64_t> answered;
  std::vector<std::pair<uint64_t, uint64_t>> ahead;
  CachedState state;
  {
    MutexLock lock(mu_);
    if (state_ == nullptr) return;
    state = AwaitedLocked();
    for (const auto& [id, await] : awaits_) {
      const bool is_ahead = await.index > state.index;
      if (IsNewsLocked(await.index) || (reset && is_ahead)) {
        answered.push_back(id);
      } else if (first && is_ahead && !state.stale) {
        ahead.emplace_back(id, await.index);
      }
    }
  }
  for (const uint64_t id : answered) AnswerAwait(id, state);
  for (const auto& [id, index] : ahead) AskWhetherLost(id, index);
}

void Topic::FailAwaits(const absl::Status& error) {
  std::vector<uint64_t> failed;
  {
    MutexLock lock(mu_);
    for (const auto& [id, await] : awaits_) failed.push_back(id);
  }
  for (const uint64_t id : failed) AnswerAwait(id, error);
}

}  // namespace meshgate::consul
