#ifndef MESHGATE_SERVER_HTTP_API_UNARY_H_
#define MESHGATE_SERVER_HTTP_API_UNARY_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/errors.h"
#include "server/http/api/call.h"
#include "server/http/api/json.h"
#include "server/http/api/route.h"
#include "server/http/error.h"
#include "server/http/router.h"
#include "server/service/call.h"
#include "server/service/pending_reply.h"

namespace meshgate::server::api {

// The media type of a Content-Type, in lower case and without parameters.
std::string MediaType(std::string_view content_type);

// Reads the body of a request as the route takes it, where that is JSON. INVALID_ARGUMENT, and in `*http_status` 415
// where it is something else.
absl::Status ReadJsonBody(const Route& route, const HttpRequest& http, google::protobuf::Message* request,
                          int* http_status);

// An answer in JSON.
HttpResponse JsonResponse(const google::protobuf::Message& message);

// A route whose handler answers once, on any thread.
template <typename Request, typename Response>
struct Unary {
  using Handler = std::function<void(const Request&, const Caller&, Reply<Response>)>;

  Route route;
  Handler handler;
  // Takes from the request what its path and parameters do not say. `http_status` replaces the status of an error. May
  // be null.
  std::function<absl::Status(const HttpRequest& http, const Query& query, Request* request, int* http_status)> prepare;
  // How to answer this request. Null: the message as JSON.
  std::function<std::function<HttpResponse(const Response&)>(const HttpRequest& http, const Query& query)> answer;

  // ---- Set by Serve().
  MethodInfo method = {};
  Environment environment = {};
};

// One call of it. What is large is read and written off the connection's thread, which has others to serve.
template <typename Request, typename Response>
class UnaryCall final : public std::enable_shared_from_this<UnaryCall<Request, Response>> {
 public:
  using Method = Unary<Request, Response>;

  UnaryCall(std::shared_ptr<const Method> method, const HttpRequest& http, HttpReply reply)
      : method_(std::move(method)), reply_(std::move(reply)), call_(&method_->method, method_->environment, http) {}

  void Start(const HttpRequest& http) {
    if (absl::Status s = call_.Admit(); !s.ok()) return Fail(s, 0);
    if (http.body.size() <= kLarge) return Handle(http);
    method_->environment.scheduler->Post([self = this->shared_from_this(), http] { self->Handle(http); });
  }

  // From the handler, on any thread.
  void OnReply(absl::StatusOr<Response> response) {
    if (!response.ok() || response->ByteSizeLong() <= kLarge) return Answer(response);
    method_->environment.scheduler->Post(
        [self = this->shared_from_this(), response = std::move(response)] { self->Answer(response); });
  }

 private:
  static constexpr size_t kLarge = 64 << 10;

  void Handle(const HttpRequest& http) {
    int http_status = 0;
    if (absl::Status s = Prepare(http, &http_status); !s.ok()) return Fail(s, http_status);
    method_->handler(request_, call_.caller(),
                     Reply<Response>(PendingReply<UnaryCall, Response>(this->shared_from_this())));
  }

  absl::Status Prepare(const HttpRequest& http, int* http_status) {
    absl::StatusOr<Query> query = ParseParameters(method_->route, http);
    if (!query.ok()) return query.status();
    if (absl::Status s = method_->prepare == nullptr ? ReadJsonBody(method_->route, http, &request_, http_status)
                                                     : method_->prepare(http, *query, &request_, http_status);
        !s.ok()) {
      return s;
    }
    if (method_->answer != nullptr) answer_ = method_->answer(http, *query);
    return BindParameters(method_->route, http, *query, &request_);
  }

  void Answer(const absl::StatusOr<Response>& response) {
    if (!response.ok()) return Fail(response.status(), 0);
    HttpResponse http = answer_ != nullptr ? answer_(*response) : JsonResponse(*response);
    call_.reporter()->OnSent();
    Send(std::move(http), absl::OkStatus());
  }

  void Fail(const absl::Status& status, int http_status) { Send(ErrorResponse(status, http_status), status); }

  void Send(HttpResponse response, const absl::Status& status) {
    response.headers.emplace_back(kRequestIdHeader, call_.request_id());
    call_.NoteSubject(request_);
    call_.End(status);
    reply_(std::move(response));
  }

  const std::shared_ptr<const Method> method_;
  HttpReply reply_;
  Call call_;
  Request request_;
  std::function<HttpResponse(const Response&)> answer_;
};

// Adds the route. What is in `environment` outlives the router and every call.
template <typename Request, typename Response>
void Serve(Unary<Request, Response> unary, const Environment& environment, std::vector<Route>* routes, Router* router) {
  unary.route.request = Request::descriptor();
  unary.route.response = Response::descriptor();
  unary.environment = environment;
  unary.method = {
      unary.route.service, unary.route.rpc,
      environment.reporter->Method(metrics::RpcReporter::Type::kUnary, unary.route.service, unary.route.rpc)};
  routes->push_back(unary.route);
  auto shared = std::make_shared<const Unary<Request, Response>>(std::move(unary));
  router->Add(shared->route.method, shared->route.pattern, [shared](const HttpRequest& http, HttpReply reply) {
    std::make_shared<UnaryCall<Request, Response>>(shared, http, std::move(reply))->Start(http);
  });
}

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_UNARY_H_
