#include "server/grpc/watch_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "grpc/grpc.h"
#include "server/grpc/status.h"

namespace meshgate::server {
namespace {

using consul::WatchReporter;

std::optional<WatchReporter::DropReason> DropReasonOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == reason::kDraining) return WatchReporter::DropReason::kDraining;
  if (reason == reason::kSlowReader) return WatchReporter::DropReason::kSlowReader;
  return std::nullopt;
}

}  // namespace

using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

WatchCall::WatchCall(const StreamEnvironment& environment, const MethodInfo* method,
                     grpc::CallbackServerContext* context, std::unique_ptr<google::protobuf::Message> request)
    : environment_(environment),
      context_(context),
      request_(std::move(request)),
      scope_(std::make_unique<CallScope>(method, environment.calls, context)),
      write_timeout_(environment.write_timeout) {}

void WatchCall::Open() {
  self_ = shared_from_this();
  outbox_ = std::make_shared<Outbox>(this, environment_.scheduler, environment_.reporter);
  scope_->reporter()->OnReceived();
  // At once: the caller learns that the stream stands, however long the first message takes.
  StartSendInitialMetadata();
  membership_ = environment_.streams->Add(outbox_, [weak = weak_from_this()] {
    if (auto call = weak.lock()) call->HurryUp();
  });
}

void WatchCall::StartWrite(consul::SharedMessage message) {
  auto self = shared_from_this();
  {
    MutexLock lock(mu_);
    writing_ = true;
    write_began_ = environment_.scheduler->Now();
    if (!timer_set_) ArmTimerLocked(write_timeout_);
  }
  buffer_ = ShareBytes(std::move(message));
  Reactor::StartWrite(&buffer_);
}

void WatchCall::Finish(const absl::Status& status) {
  auto self = shared_from_this();
  if (const auto reason = DropReasonOf(status)) environment_.reporter->OnDropped(*reason);
  scope_->OnFinished(status, request_.get());
  Reactor::Finish(ToGrpcStatus(status));
}

void WatchCall::OnWriteDone(bool ok) {
  if (ok) scope_->reporter()->OnSent();
  buffer_.Clear();
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (cancelling_) {
      kept_back_ = ok;
      return;
    }
  }
  outbox_->OnWriteDone(ok);
}

void WatchCall::OnCancel() { outbox_->OnCancelled(); }

void WatchCall::OnDone() {
  membership_.reset();
  outbox_.reset();
  scope_.reset();
  // Possibly the last reference, so nothing may follow.
  auto self = std::move(self_);
}

void WatchCall::HurryUp() {
  MutexLock lock(mu_);
  if (hurried_) return;
  hurried_ = true;
  write_timeout_ = std::min(write_timeout_, environment_.drain_write_timeout);
  // Beside the timer that may be set, which then finds nothing to do.
  if (writing_) ArmTimerLocked(write_timeout_ - (environment_.scheduler->Now() - write_began_));
}

void WatchCall::ArmTimerLocked(absl::Duration delay) {
  timer_set_ = true;
  environment_.scheduler->After(delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnTimer();
  });
}

void WatchCall::OnTimer() {
  absl::Duration timeout;
  {
    MutexLock lock(mu_);
    timer_set_ = false;
    if (!writing_ || cancelled_) return;
    timeout = write_timeout_;
    const absl::Duration left = write_began_ + timeout - environment_.scheduler->Now();
    if (left > absl::ZeroDuration()) return ArmTimerLocked(left);
    cancelling_ = cancelled_ = true;
  }
  const std::string message = absl::StrCat("the reader has not taken a message for ", absl::FormatDuration(timeout),
                                           "; open the stream again to get what it has missed");
  // In a drain the stream has an end already, which stays.
  outbox_->End(MakeError(absl::StatusCode::kUnavailable, reason::kSlowReader, message));
  Cut(context_, message);
  std::optional<bool> write_done;
  {
    MutexLock lock(mu_);
    cancelling_ = false;
    write_done = std::exchange(kept_back_, std::nullopt);
  }
  if (!write_done.has_value()) return;
  // A reference of its own: unlike gRPC's reactions, a timer does not hold up OnDone().
  const std::shared_ptr<Outbox> outbox = outbox_;
  outbox->OnWriteDone(*write_done);
}

void WatchCall::Cut(grpc::CallbackServerContext* context, const std::string& message) {
  // What ServerContext::TryCancel() does, which would tell the reader CANCELLED: that reads as its own doing, and many
  // do not come back after it.
  grpc_call_cancel_with_status(context->c_call(), GRPC_STATUS_UNAVAILABLE, message.c_str(), nullptr);
}

}  // namespace meshgate::server
