#include "server/wire/stream_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/stream/drop_reason.h"

namespace meshgate::server::wire {
namespace {

// A hold is no watch, and not counted as one.
consul::WatchReporter* Unreported() {
  static auto* const none = new consul::WatchReporter;
  return none;
}

}  // namespace

static_assert(sizeof(StreamCall) <= Call::kPreparedBytes);

StreamCall::StreamCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment,
                       consul::WatchReporter* reporter)
    : NativeCall(stream, method, environment),
      reporter_(reporter),
      outbox_(std::make_shared<Outbox>(loop_, this, environment.scheduler, reporter)) {
  stream->SendHeaders({{CallScope::kRequestId, scope_.caller().request_id}});
  membership_ = environment.streams->Add(outbox_);
  absl::Status status = admission_.AdmitStream(scope_.caller());
  scope_.SetPlace(admission_.place());
  admitted_ = status.ok();
  if (!admitted_) outbox_->End(std::move(status));
}

StreamCall::~StreamCall() { outbox_->Close(); }

SharedBytes StreamCall::NextMessage() {
  Outbox::Taken taken = outbox_->Take(&loop_->memo());
  if (taken.end.has_value()) Finish(*taken.end);
  if (taken.message == nullptr) return nullptr;
  loop_->deliveries().Add(scope_.reporter(), outbox_->kind(), taken.message->received, loop_->now());
  const std::string* const bytes = &taken.message->bytes;
  return SharedBytes(std::move(taken.message), bytes);
}

void StreamCall::PrepareNext(int step) const {
  step == 0 ? Prefetch(outbox_.get(), sizeof *outbox_) : outbox_->PrepareToTake();
}

void StreamCall::OnReady() {
  if (stream_ == nullptr) return;
  // An end needs no room at the reader's.
  if (outbox_->ended() && !stream_->sending()) {
    NextMessage();
  } else {
    stream_->Ready();
  }
}

void StreamCall::OnEnd(const absl::Status& status) {
  if (const auto reason = DropReasonOf(status)) reporter_->OnDropped(*reason);
}

absl::Status StreamCall::StalledStatus(absl::Duration stalled) {
  // In a drain the stream has an end already, which stays.
  if (outbox_->ended()) return *outbox_->Take(nullptr).end;
  return MakeError(absl::StatusCode::kUnavailable, reason::kSlowReader,
                   absl::StrCat("the reader has not taken a message for ",
                                absl::FormatDuration(absl::Trunc(stalled, absl::Seconds(1))),
                                "; open the stream again to get what it has missed"));
}

void StreamCall::OnClosed(Why why) {
  outbox_->Close();
  membership_.reset();
  NativeCall::OnClosed(why);
}

HoldCall::HoldCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment, HoldKeeper* keeper)
    : StreamCall(stream, method, environment, Unreported()),
      hold_(std::make_shared<HoldStream>(outbox(), environment.scheduler, keeper, environment.guard,
                                         scope_.caller().identity)) {
  if (admitted()) hold_->Open();
}

void HoldCall::OnMessage(std::string message) {
  scope_.reporter()->OnReceived();
  // No message that follows is refused for coming too soon: what is held would be lost by it.
  if (!admitted()) return;
  v1::HoldRegistrationRequest request;
  absl::Status parsed = ParseRequest(message, &request);
  if (!parsed.ok()) return outbox()->End(std::move(parsed));
  hold_->OnMessage(request);
}

void HoldCall::OnEnd(const absl::Status& status) {
  hold_->OnEnd(status);
  StreamCall::OnEnd(status);
}

}  // namespace meshgate::server::wire
