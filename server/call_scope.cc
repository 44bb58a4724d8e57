#include "server/call_scope.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "google/protobuf/descriptor.h"
#include "server/call_log.h"

namespace meshgate::server {
namespace {

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
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad16));
}

}  // namespace

CallScope::CallScope(const MethodInfo* method, CallTracker* tracker, Caller caller)
    : method_(method), tracker_(tracker), caller_(std::move(caller)) {
  tracker_->Begin();
  method_->reporter->OnStarted();
  if (!IsRequestId(caller_.request_id)) caller_.request_id = NewRequestId();
}

CallScope::~CallScope() { tracker_->End(); }

void CallScope::OnFinished(const absl::Status& status, absl::FunctionRef<std::string()> subject) const {
  const auto took = absl::FromChrono(std::chrono::steady_clock::now() - start_);
  const int code = static_cast<int>(status.code());
  method_->reporter->OnHandled(code, took);
  const std::string reason = status.ok() ? "" : ReasonOf(status);
  if (!LogEnabled(CallLogLevel(code, reason))) return;
  const std::string key = subject();
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
  const auto* descriptor = request.GetDescriptor();
  const auto* reflection = request.GetReflection();
  for (const char* name : {"key", "prefix", "service", "id"}) {
    const auto* field = descriptor->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) continue;
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) continue;
    const std::string value = reflection->GetString(request, field);
    if (!value.empty()) return value.substr(0, kMaxSubjectBytes);
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
