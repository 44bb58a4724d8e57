#include "server/grpc/call_scope.h"

#include <random>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "google/protobuf/descriptor.h"
#include "server/call_log.h"

namespace meshgate::server {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr size_t kMaxRequestIdBytes = 128;

// It is echoed and logged: short, and printable without spaces.
bool IsRequestId(std::string_view id) {
  if (id.empty() || id.size() > kMaxRequestIdBytes) return false;
  for (unsigned char c : id) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return true;
}

std::string NewRequestId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return absl::StrFormat("%016x", random());
}

absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return absl::FromChrono(deadline) - absl::Now();
}

}  // namespace

CallScope::CallScope(const MethodInfo* method, CallTracker* tracker, grpc::CallbackServerContext* context)
    : method_(method), tracker_(tracker) {
  tracker_->Begin();
  method_->reporter->OnStarted();
  caller_.peer = context->peer();
  caller_.time_left = TimeLeft(*context);
  const auto& metadata = context->client_metadata();
  if (auto it = metadata.find(kRequestIdKey); it != metadata.end()) {
    const std::string_view given(it->second.data(), it->second.size());
    if (IsRequestId(given)) caller_.request_id = std::string(given);
  }
  if (caller_.request_id.empty()) caller_.request_id = NewRequestId();
  context->AddInitialMetadata(kRequestIdKey, caller_.request_id);
}

CallScope::~CallScope() { tracker_->End(); }

void CallScope::OnFinished(const absl::Status& status, const google::protobuf::Message* request) const {
  const auto took = absl::FromChrono(std::chrono::steady_clock::now() - start_);
  const int code = static_cast<int>(status.code());
  method_->reporter->OnHandled(code, took);
  const std::string reason = status.ok() ? "" : ReasonOf(status);
  if (!LogEnabled(CallLogLevel(code, reason))) return;
  const std::string key = request == nullptr ? "" : SubjectOf(*request);
  CallRecord record;
  record.service = method_->service;
  record.method = method_->method;
  record.code = code;
  record.reason = reason;
  record.message = ToStd(status.message());
  record.took = took;
  record.peer = caller_.peer;
  record.request_id = caller_.request_id;
  record.key = key;
  LogCall(record);
}

std::string SubjectOf(const google::protobuf::Message& request) {
  constexpr size_t kMaxBytes = 256;
  const auto* descriptor = request.GetDescriptor();
  const auto* reflection = request.GetReflection();
  for (const char* name : {"key", "prefix", "service", "id"}) {
    const auto* field = descriptor->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) continue;
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) continue;
    const std::string value = reflection->GetString(request, field);
    if (!value.empty()) return value.substr(0, kMaxBytes);
  }
  // RegisterRequest keeps them one level deeper.
  const auto* instance = descriptor->FindFieldByName("instance");
  if (instance != nullptr && instance->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE &&
      reflection->HasField(request, instance)) {
    return SubjectOf(reflection->GetMessage(request, instance));
  }
  return "";
}

}  // namespace meshgate::server
