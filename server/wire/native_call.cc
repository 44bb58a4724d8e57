#include "server/wire/native_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meshgate::server::wire {
namespace {

Caller CallerOf(const Stream& stream, absl::Time now, const auth::Guard* guard) {
  Caller caller;
  caller.peer = stream.peer();
  caller.tls_identity = stream.tls_identity();
  const Metadata& metadata = stream.head().metadata;
  const auto given = std::find_if(metadata.begin(), metadata.end(),
                                  [](const auto& header) { return header.first == CallScope::kRequestId; });
  if (given != metadata.end()) caller.request_id = given->second;
  caller.time_left = stream.deadline() - now;
  if (guard != nullptr) caller.identity = guard->Identify(metadata, caller.tls_identity);
  return caller;
}

}  // namespace

NativeCall::NativeCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment)
    : stream_(stream),
      loop_(&stream->loop()),
      scope_(method, environment.calls, CallerOf(*stream, stream->loop().now(), environment.guard)),
      admission_(environment.guard, environment.limits) {}

bool NativeCall::End(const absl::Status& status) {
  if (std::exchange(over_, true)) return false;
  scope_.OnFinished(status, [this] { return Subject(); });
  OnEnd(status);
  return true;
}

void NativeCall::Finish(const absl::Status& status) {
  if (!End(status) || stream_ == nullptr) return;
  stream_->Finish(EndingOf(status));
}

Ending NativeCall::OnStalled(absl::Duration stalled) {
  const absl::Status status = StalledStatus(stalled);
  End(status);
  return EndingOf(status);
}

absl::Status NativeCall::StalledStatus(absl::Duration stalled) {
  return MakeError(absl::StatusCode::kUnavailable, reason::kSlowReader,
                   absl::StrCat("the reader has not taken a message for ",
                                absl::FormatDuration(absl::Trunc(stalled, absl::Seconds(1))),
                                "; call again to get what it has missed"));
}

void NativeCall::OnClosed(Why why) {
  scope_.SetPlace(nullptr);
  admission_.Leave();
  if (over_) {
    stream_ = nullptr;
    return;
  }
  absl::Status status = absl::CancelledError("the caller has gone");
  if (why == Why::kDeadline) {
    status = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "the deadline passed");
  } else if (stream_ != nullptr && stream_->finished()) {
    status = absl::Status(static_cast<absl::StatusCode>(stream_->ending().code), stream_->ending().message);
  }
  stream_ = nullptr;
  End(status);
}

}  // namespace meshgate::server::wire
