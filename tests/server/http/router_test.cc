#include "server/http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consul/base/errors.h"
#include "server/http/admin.h"
#include "server/http/error.h"

namespace meshgate::server {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

HttpResponse Ask(const Router& router, const std::string& method, const std::string& path) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  HttpResponse out;
  out.status = 0;
  router.Handle(request, [&out](HttpResponse response) { out = std::move(response); });
  return out;
}

HttpHandler Says(const std::string& text) {
  return [text](const HttpRequest&, HttpReply reply) {
    HttpResponse response;
    response.body = text;
    reply(response);
  };
}

// Would break if a request reached the wrong handler.
TEST(RouterTest, LiteralThenLongestPrefix) {
  Router router;
  router.Add("GET", "/", Says("root"));
  router.Add("GET", "/a/*", Says("a/*"));
  router.Add("GET", "/a/b/*", Says("a/b/*"));
  router.Add("PUT", "/a/b/*", Says("put a/b/*"));
  router.Add("GET", "/a/b/c", Says("a/b/c"));
  const std::pair<const char*, const char*> cases[] = {{"/", "root"},       {"/a/", "a/*"},      {"/a/x/y", "a/*"},
                                                       {"/a/b/x", "a/b/*"}, {"/a/b/c", "a/b/c"}, {"/a/b/c/d", "a/b/*"},
                                                       {"/a/b", "a/*"}};
  for (const auto& [path, want] : cases) EXPECT_EQ(Ask(router, "GET", path).body, want) << path;
  EXPECT_EQ(Ask(router, "PUT", "/a/b/x").body, "put a/b/*");
  EXPECT_EQ(Ask(router, "HEAD", "/a/b/c").body, "a/b/c");
  for (const char* path : {"/a", "/b", "/aa", "", "*"}) EXPECT_EQ(Ask(router, "GET", path).status, 404) << path;
}

// Would break if a client could not tell a wrong path from a wrong method, or got an error it cannot read.
TEST(RouterTest, ErrorsAreStatusesAsJson) {
  Router router;
  router.Add("GET", "/a", Says("a"));
  router.Add("PUT", "/a", Says("a"));
  const HttpResponse missing = Ask(router, "GET", "/nope");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.content_type, "application/json");
  EXPECT_THAT(missing.body, HasSubstr(R"("code":5)"));
  EXPECT_THAT(missing.body, HasSubstr(R"("@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"NO_SUCH_PATH")"));
  const HttpResponse method = Ask(router, "DELETE", "/a");
  EXPECT_EQ(method.status, 405);
  EXPECT_THAT(method.headers, Contains(Pair("Allow", "GET, HEAD, PUT")));
  EXPECT_THAT(method.body, HasSubstr("METHOD_NOT_ALLOWED"));
}

// Would break if a failure had another meaning over HTTP than over gRPC.
TEST(HttpErrorTest, StatusOfEveryCode) {
  using absl::StatusCode;
  const std::pair<StatusCode, int> cases[] = {
      {StatusCode::kOk, 200},          {StatusCode::kInvalidArgument, 400},  {StatusCode::kFailedPrecondition, 400},
      {StatusCode::kNotFound, 404},    {StatusCode::kAborted, 409},          {StatusCode::kUnauthenticated, 401},
      {StatusCode::kUnavailable, 503}, {StatusCode::kPermissionDenied, 403}, {StatusCode::kResourceExhausted, 429},
      {StatusCode::kInternal, 500},    {StatusCode::kDeadlineExceeded, 504}, {StatusCode::kUnimplemented, 501},
      {StatusCode::kUnknown, 500},     {StatusCode::kCancelled, 499}};
  for (const auto& [code, want] : cases) EXPECT_EQ(HttpStatusOf(code), want);
  const HttpResponse response = ErrorResponse(WithRetryAfter(
      MakeError(StatusCode::kUnavailable, reason::kConsulUnavailable, "away"), absl::Milliseconds(1200)));
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.headers, Contains(Pair("Retry-After", "2")));
  EXPECT_THAT(response.body, HasSubstr("CONSUL_UNAVAILABLE"));
}

// Would break if a detail of a type that this program does not know made the whole error unreadable.
TEST(HttpErrorTest, UnknownDetail) {
  absl::Status status = absl::InternalError("broken");
  status.SetPayload("type.googleapis.com/no.such.Type", absl::Cord("x"));
  EXPECT_THAT(ErrorResponse(status).body, HasSubstr(R"("message":"broken")"));
}

// Would break if probes or Prometheus could not read what they are told.
TEST(AdminTest, ProbesMetricsAndIndex) {
  Router router;
  Readiness readiness{false, "draining"};
  AddAdminRoutes({[&] { return readiness; }, [] { return "m 1\n"; }, "text/plain; version=0.0.4"}, &router);
  // A process that drains, or has no store, must not be killed for it.
  EXPECT_EQ(Ask(router, "GET", "/livez").status, 200);
  EXPECT_EQ(Ask(router, "GET", "/livez").body, "ok\n");
  HttpResponse ready = Ask(router, "GET", "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "{\"ready\":false,\"reason\":\"draining\"}\n");
  EXPECT_THAT(ready.headers, Contains(Pair("Cache-Control", "no-store")));
  readiness = {true, "the store answers"};
  EXPECT_EQ(Ask(router, "GET", "/readyz").status, 200);
  const HttpResponse metrics = Ask(router, "GET", "/metrics");
  EXPECT_EQ(metrics.content_type, "text/plain; version=0.0.4");
  EXPECT_EQ(metrics.body, "m 1\n");
  EXPECT_THAT(Ask(router, "GET", "/").body, HasSubstr("/metrics"));
  EXPECT_EQ(Ask(router, "POST", "/metrics").status, 405);
}

}  // namespace
}  // namespace meshgate::server
