#ifndef MESHGATE_SERVER_GRPC_CALL_SCOPE_H_
#define MESHGATE_SERVER_GRPC_CALL_SCOPE_H_

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "metrics/registry.h"
#include "server/grpc/call_tracker.h"
#include "server/service/call.h"

namespace meshgate::server {

// One method as metrics and logs know it. Lives as long as its service.
struct MethodInfo {
  std::string service;
  std::string method;
  metrics::RpcMethodReporter* reporter;
};

// What every call needs around its handler, unary or streaming: who called, the request id, metrics, the log. Made when
// the call begins, destroyed when gRPC is done with it.
class CallScope {
 public:
  // Reads the caller from `context` and sends the request id back in the initial metadata as `x-request-id`.
  CallScope(const MethodInfo* method, CallTracker* tracker, grpc::CallbackServerContext* context);
  ~CallScope();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  const Caller& caller() const { return caller_; }
  metrics::RpcMethodReporter* reporter() const { return method_->reporter; }

  // Counts and logs the end. Called once, before Finish(): `request` says what the call was about and is used in here
  // only; null where it did not parse.
  void OnFinished(const absl::Status& status, const google::protobuf::Message* request) const;

 private:
  const MethodInfo* const method_;
  CallTracker* const tracker_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Caller caller_;
};

// The key, prefix, service or id in a request, for the log; empty where there is none. At most 256 bytes.
std::string SubjectOf(const google::protobuf::Message& request);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_CALL_SCOPE_H_
