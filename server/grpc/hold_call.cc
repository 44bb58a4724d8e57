#include "server/grpc/hold_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/grpc/bytes.h"
#include "server/grpc/status.h"

namespace meshgate::server {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

Reactor* HoldCall::Start(const StreamEnvironment& environment, HoldKeeper* keeper, const MethodInfo* method,
                         grpc::CallbackServerContext* context) {
  std::shared_ptr<HoldCall> call(new HoldCall(environment, method, context));
  call->Open(keeper);
  // Alive through its own reference: OnDone() comes after gRPC was given the reactor.
  return call.get();
}

HoldCall::HoldCall(const StreamEnvironment& environment, const MethodInfo* method, grpc::CallbackServerContext* context)
    : environment_(environment),
      context_(context),
      scope_(std::make_unique<CallScope>(method, environment.calls, context)),
      write_timeout_(environment.write_timeout) {}

void HoldCall::Open(HoldKeeper* keeper) {
  self_ = shared_from_this();
  stream_ = std::make_shared<HoldStream>(this, environment_.scheduler, keeper);
  StartSendInitialMetadata();
  ReadNext();
  stream_->Open();
  membership_ = environment_.streams->Add(stream_->outbox(), [weak = weak_from_this()] {
    if (auto call = weak.lock()) call->HurryUp();
  });
}

void HoldCall::ReadNext() {
  if (!Pin()) return;
  StartRead(&in_);
  Unpin();
}

void HoldCall::OnReadDone(bool ok) {
  if (!ok) return stream_->OnReadsDone();
  scope_->reporter()->OnReceived();
  v1::HoldRegistrationRequest request;
  absl::Status parsed = ParseBuffer(in_, &request);
  in_.Clear();
  parsed.ok() ? stream_->OnMessage(request) : stream_->OnMalformed(std::move(parsed));
  ReadNext();
}

void HoldCall::StartWrite(consul::SharedMessage message) {
  auto self = shared_from_this();
  {
    MutexLock lock(mu_);
    writing_ = true;
    write_began_ = environment_.scheduler->Now();
    if (!timer_set_) ArmTimerLocked(write_timeout_);
  }
  out_ = ShareBytes(std::move(message));
  Reactor::StartWrite(&out_);
}

void HoldCall::OnWriteDone(bool ok) {
  if (ok) scope_->reporter()->OnSent();
  out_.Clear();
  {
    MutexLock lock(mu_);
    writing_ = false;
  }
  stream_->OnWriteDone(ok);
}

void HoldCall::Finish(const absl::Status& status) {
  auto self = shared_from_this();
  v1::HeartbeatRequest subject;
  subject.set_id(stream_->id());
  scope_->OnFinished(status, &subject);
  {
    MutexLock lock(mu_);
    end_ = status;
    if (pins_ > 0) return;
    told_ = true;
  }
  Reactor::Finish(ToGrpcStatus(status));
}

bool HoldCall::Pin() {
  MutexLock lock(mu_);
  if (end_.has_value()) return false;
  ++pins_;
  return true;
}

void HoldCall::Unpin() {
  std::optional<absl::Status> end;
  {
    MutexLock lock(mu_);
    if (--pins_ > 0 || !end_.has_value() || told_) return;
    told_ = true;
    end = end_;
  }
  Reactor::Finish(ToGrpcStatus(*end));
}

void HoldCall::OnCancel() { stream_->OnCancelled(); }

void HoldCall::OnDone() {
  membership_.reset();
  stream_.reset();
  scope_.reset();
  // Possibly the last reference, so nothing may follow.
  auto self = std::move(self_);
}

void HoldCall::HurryUp() {
  MutexLock lock(mu_);
  if (hurried_) return;
  hurried_ = true;
  write_timeout_ = std::min(write_timeout_, environment_.drain_write_timeout);
  // Beside the timer that may be set, which then finds nothing to do.
  if (writing_) ArmTimerLocked(write_timeout_ - (environment_.scheduler->Now() - write_began_));
}

void HoldCall::ArmTimerLocked(absl::Duration delay) {
  timer_set_ = true;
  environment_.scheduler->After(delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnTimer();
  });
}

void HoldCall::OnTimer() {
  absl::Duration timeout;
  {
    MutexLock lock(mu_);
    timer_set_ = false;
    if (!writing_ || end_.has_value()) return;
    timeout = write_timeout_;
    const absl::Duration left = write_began_ + timeout - environment_.scheduler->Now();
    if (left > absl::ZeroDuration()) return ArmTimerLocked(left);
    ++pins_;
  }
  const std::string message = absl::StrCat("the reader has not taken a message for ", absl::FormatDuration(timeout),
                                           "; hold the instance again");
  // In a drain the stream has an end already, which stays.
  stream_->outbox()->End(MakeError(absl::StatusCode::kUnavailable, reason::kSlowReader, message));
  WatchCall::Cut(context_, message);
  Unpin();
}

}  // namespace meshgate::server
