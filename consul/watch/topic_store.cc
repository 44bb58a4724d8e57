// How a topic falls back on what an earlier process has stored.
#include <utility>

#include "consul/watch/topic.h"

namespace meshgate::consul {

void Topic::AskStore() {
  if (store() == nullptr) return;
  const std::weak_ptr<Topic> weak = weak_from_this();
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    asking_store_ = true;
    patience_timer_ = scheduler_->After(options_.patience, [weak] {
      if (auto self = weak.lock()) self->OnPatienceEnd();
    });
  }
  store()->Load(target_, [weak](std::optional<StoredState> stored) {
    if (auto self = weak.lock()) self->OnStored(std::move(stored));
  });
}

void Topic::OnStored(std::optional<StoredState> stored) {
  absl::Status failure;
  bool overdue;
  {
    MutexLock lock(mu_);
    asking_store_ = false;
    if (stopped_ || answered_ || state_ != nullptr) return;
    stored_ = std::move(stored);
    failure = std::exchange(held_back_, absl::OkStatus());
    overdue = out_of_patience_ || stale_since_.has_value();
  }
  if (!failure.ok()) {
    OnFailure(failure, 1);
  } else if (overdue) {
    FallBack();
  }
}

void Topic::OnPatienceEnd() {
  absl::Status failure;
  {
    MutexLock lock(mu_);
    // The store is not waited for any longer either, and used when it answers.
    asking_store_ = false;
    out_of_patience_ = true;
    failure = std::exchange(held_back_, absl::OkStatus());
  }
  if (!failure.ok()) {
    OnFailure(failure, 1);
  } else {
    FallBack();
  }
}

void Topic::FallBack() {
  Wakes wakes;
  CachedState cached;
  {
    MutexLock lock(mu_);
    if (!FallBackLocked(wakes)) return;
    cached = CachedLocked(scheduler_->Now());
  }
  WakeAll(wakes);
  AnswerWithState(cached);
  AnswerAwaits(/*first=*/true, /*reset=*/false);
}

bool Topic::FallBackLocked(Wakes& wakes) {
  if (stopped_ || answered_ || !failed_.ok() || state_ != nullptr || !stored_.has_value()) return false;
  AdoptLocked(*std::exchange(stored_, std::nullopt));
  last_error_ = absl::OkStatus();
  // Not only since the gateway noticed.
  SetStaleLocked(std::nullopt, wakes);
  SetStaleLocked(confirmed_, wakes);
  return true;
}

void Topic::AdoptLocked(StoredState stored) {
  state_ = std::move(stored.state);
  has_state_ = true;
  index_ = stored.index;
  changed_at_ = stored.index;
  confirmed_ = stored.confirmed;
  for (auto& audience : audiences_) {
    audience->feed.Publish(state_, nullptr, index_, confirmed_, /*continuity_lost=*/false);
  }
}

}  // namespace meshgate::consul
