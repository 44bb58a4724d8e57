#ifndef MESHGATE_SERVER_CALL_SCOPE_H_
#define MESHGATE_SERVER_CALL_SCOPE_H_

#include <chrono>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "metrics/registry.h"
#include "server/call_tracker.h"
#include "server/service/call.h"

namespace meshgate::server {

// One method as metrics and logs know it. Lives as long as its service.
struct MethodInfo {
  std::string service;
  std::string method;
  metrics::RpcMethodReporter* reporter;
};

// What every call needs around its handler, unary or streaming: who called, the request id, metrics, the log. Made when
// the call begins, destroyed when it has ended.
class CallScope {
 public:
  // The name of the request id in metadata, on the way in and out.
  static constexpr char kRequestId[] = "x-request-id";

  // The caller's request id is one that it has given, where that is fit to be logged, or a new one.
  CallScope(const MethodInfo* method, CallTracker* tracker, Caller caller);
  ~CallScope();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  const Caller& caller() const { return caller_; }
  void SetPlace(limits::Limits::Place* place) { caller_.place = place; }
  metrics::RpcMethodReporter* reporter() const { return method_->reporter; }

  // Counts and logs the end, once, before the caller is told. `subject` says what the call was about, and is asked for
  // where it is logged.
  void OnFinished(const absl::Status& status, absl::FunctionRef<std::string()> subject) const;

 private:
  const MethodInfo* const method_;
  CallTracker* const tracker_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Caller caller_;
};

// Of what a call was about, in the log.
inline constexpr size_t kMaxSubjectBytes = 256;

// The key, prefix, service or id in a request, for the log; empty where there is none. At most kMaxSubjectBytes.
std::string SubjectOf(const google::protobuf::Message& request);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_CALL_SCOPE_H_
