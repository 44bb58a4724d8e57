#include "server/stream/outbox.h"

#include <utility>

namespace meshgate::server {
namespace {

// A watch that cannot be, or is not allowed, is no failure of the gateway: nobody should be alerted.
bool IsCallersMistake(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:
      return false;
  }
}

}  // namespace

Outbox::Outbox(StreamWriter* writer, Scheduler* scheduler, consul::WatchReporter* reporter)
    : writer_(writer), scheduler_(scheduler), reporter_(reporter) {}

Outbox::~Outbox() {
  MutexLock lock(mu_);
  if (progress_timer_ != 0) scheduler_->Cancel(progress_timer_);
}

void Outbox::Start(std::unique_ptr<consul::Subscription> subscription, absl::Duration progress_interval) {
  {
    MutexLock lock(mu_);
    // Ended already: the subscription goes when this call returns, without the lock.
    if (phase_ != Phase::kWaiting) return;
    subscription_ = std::move(subscription);
    phase_ = Phase::kIdle;
    woken_ = true;
    last_write_ = scheduler_->Now();
    progress_interval_ = progress_interval;
    ArmProgressLocked();
  }
  Pump();
}

void Outbox::End(absl::Status status) {
  {
    MutexLock lock(mu_);
    if (end_.has_value()) return;
    end_ = std::move(status);
    if (phase_ == Phase::kWaiting) phase_ = Phase::kIdle;
  }
  Pump();
}

void Outbox::OnWriteDone(bool ok) {
  {
    MutexLock lock(mu_);
    phase_ = Phase::kIdle;
    if (!ok && !end_.has_value()) end_ = absl::CancelledError("the stream is broken");
  }
  Pump();
}

void Outbox::OnCancelled() { End(absl::CancelledError("the caller has gone")); }

void Outbox::Wake() {
  {
    MutexLock lock(mu_);
    woken_ = true;
  }
  Pump();
}

void Outbox::Pump() {
  {
    MutexLock lock(mu_);
    if (pumping_) return;
    pumping_ = true;
  }
  while (true) {
    bool progress = false;
    std::optional<absl::Status> end;
    {
      MutexLock lock(mu_);
      if (phase_ == Phase::kIdle && end_.has_value()) {
        phase_ = Phase::kFinished;
        end = end_;
      } else if (phase_ != Phase::kIdle || (!woken_ && !progress_due_)) {
        pumping_ = false;
        return;
      }
      progress = std::exchange(progress_due_, false);
      woken_ = false;
    }
    if (end.has_value()) {
      // The transport may let go of this outbox inside Finish().
      auto self = shared_from_this();
      subscription_.reset();
      // Still pumping_: nothing calls the writer after Finish().
      writer_->Finish(*end);
      return;
    }

    absl::StatusOr<consul::SharedMessage> next = subscription_->Next();
    if (!next.ok()) {
      if (!IsCallersMistake(next.status())) reporter_->OnDropped(consul::WatchReporter::DropReason::kFailed);
      MutexLock lock(mu_);
      if (!end_.has_value()) end_ = next.status();
      continue;
    }
    if (*next == nullptr && progress) next = subscription_->Progress();
    if (*next == nullptr) continue;

    const absl::Time now = scheduler_->Now();
    if ((*next)->received != absl::InfinitePast()) {
      reporter_->OnPropagation(subscription_->kind(), now - (*next)->received);
    }
    {
      MutexLock lock(mu_);
      phase_ = Phase::kWriting;
      last_write_ = now;
    }
    writer_->StartWrite(*std::move(next));
  }
}

void Outbox::ArmProgressLocked() {
  if (progress_interval_ <= absl::ZeroDuration()) return;
  const absl::Duration left = last_write_ + progress_interval_ - scheduler_->Now();
  progress_timer_ = scheduler_->After(left, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnProgressTimer();
  });
}

// One timer serves all writes: it is set again for what is left since the last one.
void Outbox::OnProgressTimer() {
  {
    MutexLock lock(mu_);
    progress_timer_ = 0;
    if (phase_ == Phase::kFinished) return;
    const absl::Time now = scheduler_->Now();
    if (now - last_write_ < progress_interval_) {
      ArmProgressLocked();
      return;
    }
    progress_due_ = true;
    // Not before the interval has passed again, whatever comes of this one.
    last_write_ = now;
    ArmProgressLocked();
  }
  Pump();
}

}  // namespace meshgate::server
