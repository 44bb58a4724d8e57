#include "tests/conformance/cpp/case_call.h"

#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpcpp/generic/generic_stub.h"
#include "tests/conformance/cpp/outcome.h"
#include "tests/conformance/service.h"

namespace meshgate::conformance {
namespace {

std::string NewId() {
  static std::atomic<int> ids{0};
  return absl::StrCat("cpp-", getpid(), "-", absl::GetCurrentTimeNanos(), "-", ++ids);
}

}  // namespace

CaseCall::CaseCall(std::shared_ptr<grpc::Channel> channel, const v1::Case& c)
    : channel_(std::move(channel)), stub_(v1::Conformance::NewStub(channel_)), case_(c), plan_(c.plan()) {
  if (c.cancel_when_started() || c.ask_cancelled() || c.drain()) plan_.set_id(NewId());
}

v1::Outcome CaseCall::Run() {
  PrepareContext();
  std::thread canceller;
  if (case_.cancel_when_started()) {
    canceller = std::thread([this] {
      WaitStarted();
      context_.TryCancel();
    });
  }
  grpc::Status status;
  if (case_.method() == "Unary") {
    status = RunUnary();
  } else if (case_.method() == "ServerStream") {
    status = RunServerStream();
  } else if (case_.method() == "ClientStream") {
    status = RunClientStream();
  } else if (case_.method() == "Bidi") {
    status = RunBidi();
  } else {
    status = RunUnknown();
  }
  if (canceller.joinable()) canceller.join();
  TellEnd(case_, status, context_, &outcome_);
  if (case_.ask_cancelled()) outcome_.set_server_saw_cancel(Seen(&v1::Conformance::Stub::SeenCancelled));
  return outcome_;
}

bool CaseCall::Seen(SeenMethod method) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  v1::SeenRequest request;
  request.set_id(plan_.id());
  v1::SeenResponse response;
  return ((*stub_).*method)(&context, request, &response).ok() && response.seen();
}

void CaseCall::PrepareContext() {
  if (case_.timeout_ms() != 0) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(case_.timeout_ms())));
  } else if (!case_.plan().report()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  }
  for (const auto& [key, value] : ToMetadata(case_.metadata())) context_.AddMetadata(key, value);
  if (case_.compress()) context_.set_compression_algorithm(GRPC_COMPRESS_GZIP);
}

v1::CallRequest CaseCall::MakeRequest(uint32_t index) const {
  v1::CallRequest request;
  request.set_payload(MakePayload(plan_.seed(), case_.request_bytes()));
  if (index == 0) *request.mutable_plan() = plan_;
  return request;
}

grpc::Status CaseCall::RunUnary() {
  v1::CallResponse response;
  grpc::Status status = stub_->Unary(&context_, MakeRequest(0), &response);
  if (status.ok()) OnResponse(response);
  return status;
}

grpc::Status CaseCall::RunUnknown() {
  grpc::TemplatedGenericStub<v1::CallRequest, v1::CallResponse> stub(channel_);
  const v1::CallRequest request = MakeRequest(0);
  v1::CallResponse response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context_, case_.method(), {}, &request, &response,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

grpc::Status CaseCall::RunServerStream() {
  const auto stream = stub_->ServerStream(&context_, MakeRequest(0));
  ReadAll(stream.get());
  return stream->Finish();
}

grpc::Status CaseCall::RunClientStream() {
  v1::CallResponse response;
  const auto stream = stub_->ClientStream(&context_, &response);
  WriteAll(stream.get());
  grpc::Status status = stream->Finish();
  if (status.ok()) OnResponse(response);
  return status;
}

grpc::Status CaseCall::RunBidi() {
  const auto stream = stub_->Bidi(&context_);
  std::thread writer([this, &stream] { WriteAll(stream.get()); });
  ReadAll(stream.get());
  SetOver();
  writer.join();
  return stream->Finish();
}

template <typename Stream>
void CaseCall::WriteAll(Stream* stream) {
  for (uint32_t i = 0; i < case_.requests(); ++i) {
    if (case_.ping_pong()) {
      MutexLock lock(mu_);
      while (answers_ < i && !over_) changed_.Wait(mu_);
      if (over_) return;
    }
    if (!stream->Write(MakeRequest(i))) return;
  }
  if (!case_.keep_open()) stream->WritesDone();
}

template <typename Stream>
void CaseCall::ReadAll(Stream* stream) {
  v1::CallResponse response;
  while (stream->Read(&response)) OnResponse(response);
}

void CaseCall::OnResponse(const v1::CallResponse& response) {
  const uint32_t index = outcome_.messages();
  outcome_.set_intact((index == 0 || outcome_.intact()) && response.index() == index &&
                      response.payload() == MakePayload(plan_.seed(), plan_.payload_bytes()));
  outcome_.set_messages(index + 1);
  outcome_.set_bytes(outcome_.bytes() + static_cast<uint32_t>(response.payload().size()));
  outcome_.set_requests(response.requests());
  outcome_.set_request_bytes(static_cast<uint32_t>(response.request_bytes()));
  outcome_.set_requests_intact(response.requests_intact());
  if (response.has_report()) TellReport(case_, response.report(), &outcome_);
  if (outcome_.messages() == case_.cancel_after_messages()) context_.TryCancel();
  MutexLock lock(mu_);
  ++answers_;
  changed_.NotifyAll();
}

void CaseCall::SetOver() {
  MutexLock lock(mu_);
  over_ = true;
  changed_.NotifyAll();
}

}  // namespace meshgate::conformance
