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

static_assert(sizeof(Outbox) <= consul::Subscriber::kPreparedBytes);

Outbox::Outbox(consul::ReaderThread* thread, Listener* listener, Scheduler* scheduler, consul::WatchReporter* reporter)
    : thread_(thread), scheduler_(scheduler), reporter_(reporter), listener_(listener) {}

Outbox::~Outbox() {
  if (progress_timer_ != 0) scheduler_->Cancel(progress_timer_);
}

void Outbox::End(absl::Status status) {
  {
    MutexLock lock(mu_);
    if (end_.has_value()) return;
    end_ = std::move(status);
  }
  ended_ = true;
  WakeSoon();
}

void Outbox::WakeSoon() {
  if (!scheduled_.exchange(true)) thread_->Schedule(shared_from_this());
}

void Outbox::Wake() {
  woken_ = true;
  if (listener_ != nullptr) listener_->OnReady();
}

void Outbox::PrepareToWake(int step) const {
  if (step == 0) {
    Prefetch(listener_, Listener::kPreparedBytes);
  } else if (listener_ != nullptr) {
    listener_->PrepareReady();
  }
}

bool Outbox::Run() {
  // Before anything is looked at: who comes later asks again.
  scheduled_ = false;
  if (progress_fired_.exchange(false)) {
    progress_timer_ = 0;
    const absl::Duration idle = scheduler_->Now() - last_taken_;
    progress_due_ = idle >= progress_interval_;
    // Not before the interval has passed again, whatever comes of this one.
    if (progress_due_) last_taken_ = scheduler_->Now();
    if (subscription_ != nullptr) ArmProgress(progress_due_ ? progress_interval_ : progress_interval_ - idle);
  }
  Wake();
  return false;
}

void Outbox::Start(std::unique_ptr<consul::Subscription> subscription, absl::Duration progress_interval) {
  if (listener_ == nullptr || ended_) return;
  kind_ = subscription->kind();
  subscription_ = std::move(subscription);
  woken_ = true;
  progress_interval_ = progress_interval;
  last_taken_ = scheduler_->Now();
  ArmProgress(progress_interval);
  listener_->OnReady();
}

Outbox::Taken Outbox::Take(consul::NextMemo* memo) {
  if (ended_) {
    MutexLock lock(mu_);
    return {nullptr, end_};
  }
  if (subscription_ == nullptr || (!woken_ && !progress_due_)) return {};
  woken_ = false;
  const bool progress = std::exchange(progress_due_, false);
  absl::StatusOr<consul::SharedMessage> next = subscription_->Next(memo);
  if (!next.ok()) {
    if (!IsCallersMistake(next.status())) reporter_->OnDropped(consul::WatchReporter::DropReason::kFailed);
    MutexLock lock(mu_);
    if (!end_.has_value()) end_ = next.status();
    ended_ = true;
    return {nullptr, end_};
  }
  if (*next == nullptr && progress) next = subscription_->Progress();
  if (*next != nullptr && progress_interval_ > absl::ZeroDuration()) last_taken_ = scheduler_->Now();
  return {*std::move(next), std::nullopt};
}

void Outbox::Close() {
  listener_ = nullptr;
  subscription_.reset();
}

// One timer serves all messages: it is set again for what is left since the last one.
void Outbox::ArmProgress(absl::Duration delay) {
  if (progress_interval_ <= absl::ZeroDuration()) return;
  progress_timer_ = scheduler_->After(delay, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    self->progress_fired_ = true;
    self->WakeSoon();
  });
}

}  // namespace meshgate::server
