// A call of meshgate.v1 that came as an HTTP request.
#ifndef MESHGATE_SERVER_HTTP_API_CALL_H_
#define MESHGATE_SERVER_HTTP_API_CALL_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "google/protobuf/message.h"
#include "metrics/registry.h"
#include "server/auth/guard.h"
#include "server/call_scope.h"
#include "server/call_tracker.h"
#include "server/http/api/route.h"
#include "server/http/router.h"
#include "server/limits/admission.h"
#include "server/stream/stream_set.h"

namespace meshgate::server::api {

// What calls share. All of it outlives them.
struct Environment {
  Scheduler* scheduler;
  consul::WatchReporter* watches;
  StreamSet* streams;
  CallTracker* calls;
  metrics::RpcReporter* reporter;
  // Null: callers are taken for whom they are.
  auth::Guard* guard = nullptr;
  // Null: nobody counts what they use.
  limits::Limits* limits = nullptr;
};

// The parameters of a request's query.
class Query {
 public:
  Query() = default;
  explicit Query(std::vector<std::pair<std::string, std::string>> parameters) : parameters_(std::move(parameters)) {}

  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Of the first of that name; empty without one.
  std::string value(std::string_view name) const;
  // True where it is there and not "false".
  bool flag(std::string_view name) const { return has(name) && value(name) != "false"; }

  const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }

 private:
  const std::string* find(std::string_view name) const;

  std::vector<std::pair<std::string, std::string>> parameters_;
};

// The query of a request to `route`. INVALID_ARGUMENT for what it does not take, and for what is said twice and is no
// list; and for conditions in headers that a write would otherwise leave out.
absl::StatusOr<Query> ParseParameters(const Route& route, const HttpRequest& http);

// The request of a route from its path and query; a body in JSON is in `request` already.
absl::Status BindParameters(const Route& route, const HttpRequest& http, const Query& query,
                            google::protobuf::Message* request);

// Who calls, metrics, the log, and one end. Not thread-safe; used by one thread at a time.
class Call {
 public:
  // Every call over HTTP starts here. `method` and `environment` outlive it.
  Call(const MethodInfo* method, const Environment& environment, const HttpRequest& http);

  // As limits::Admission's.
  absl::Status Admit() { return admission_.Admit(caller_); }
  absl::Status AdmitStream();
  void Leave();

  const Caller& caller() const { return caller_; }
  const std::string& request_id() const { return request_id_; }
  // Null once it has ended.
  metrics::RpcMethodReporter* reporter() const { return scope_ == nullptr ? nullptr : scope_->reporter(); }
  void NoteSubject(const google::protobuf::Message& request) { subject_ = SubjectOf(request); }
  void NoteSubject(std::string_view subject) { subject_ = std::string(subject.substr(0, kMaxSubjectBytes)); }

  // Counts and logs the end, and lets a drain go on. The first one counts; returns whether this was it.
  bool End(const absl::Status& status);

 private:
  // Null once it has ended.
  std::unique_ptr<CallScope> scope_;
  // Its own: a handler that has answered may still look at it.
  Caller caller_;
  const std::string request_id_;
  limits::Admission admission_;
  std::string subject_;
};

// The name in responses of what CallScope calls a request's id.
inline constexpr char kRequestIdHeader[] = "X-Request-Id";

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_CALL_H_
