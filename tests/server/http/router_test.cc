#include "server/http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consul/base/errors.h"
#include "server/http/admin.h"
#include "server/http/error.h"
#include "server/http/uri.h"

namespace meshgate::server {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
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

// Answers with the values of its variables.
HttpHandler Shows(const std::string& text) {
  return [text](const HttpRequest& request, HttpReply reply) {
    HttpResponse response;
    response.body = text;
    for (const auto& [name, value] : request.variables) response.body += " " + name + "=" + value;
    reply(response);
  };
}

// Would break if a request reached the wrong handler, or one that fits was not found behind one that does not.
TEST(RouterTest, LiteralThenVariableThenRest) {
  Router router;
  router.Add("GET", "/", Shows("root"));
  router.Add("GET", "/a/{x=**}", Shows("rest"));
  router.Add("GET", "/a/b/{y=**}", Shows("b rest"));
  router.Add("PUT", "/a/b/{key=**}", Shows("put"));
  router.Add("GET", "/a/b/c", Shows("c"));
  router.Add("GET", "/s", Shows("list"));
  router.Add("GET", "/s/{name}", Shows("one"));
  router.Add("GET", "/s/{name}/beat", Shows("beat"));
  const std::pair<const char*, const char*> cases[] = {
      {"/", "root"},          {"/a/", "rest x="},      {"/a/x/y", "rest x=x/y"},     {"/a/b/x", "b rest y=x"},
      {"/a/b/c", "c"},        {"/a/b/", "b rest y="},  {"/a/b/c/d", "b rest y=c/d"}, {"/a/b", "rest x=b"},
      {"/s/n", "one name=n"}, {"/s", "list"},          {"/s/n/beat", "beat name=n"}, {"/a//b", "rest x=/b"},
      {"/a/x/", "rest x=x/"}, {"/s/%2F", "one name=/"}};
  for (const auto& [path, want] : cases) EXPECT_EQ(Ask(router, "GET", path).body, want) << path;
  EXPECT_EQ(Ask(router, "PUT", "/a/b/x").body, "put key=x");
  EXPECT_EQ(Ask(router, "HEAD", "/a/b/c").body, "c");
  for (const char* path : {"/a", "/b", "/aa", "", "*", "/s/", "/s//beat", "/s/n/x", "/s/n/beat/", "s/n", "//"}) {
    EXPECT_EQ(Ask(router, "GET", path).status, 404) << path;
  }
  EXPECT_THAT(router.routes(), Contains(Pair("GET", "/s/{name}/beat")));
}

// Would break if a key were decoded twice, not at all, or "+" in it became a space; or if what cannot be decoded
// reached a handler.
TEST(RouterTest, DecodesVariablesOnce) {
  Router router;
  router.Add("GET", "/k/{key=**}", Shows("k"));
  const std::pair<const char*, const char*> cases[] = {{"/k/a%20b", "k key=a b"},       {"/k/a%2fb/c", "k key=a/b/c"},
                                                       {"/k/%2541", "k key=%41"},       {"/k/a+b", "k key=a+b"},
                                                       {"/k/%C3%A4", "k key=\xC3\xA4"}, {"/k/..", "k key=.."}};
  for (const auto& [path, want] : cases) EXPECT_EQ(Ask(router, "GET", path).body, want) << path;
  for (const char* path : {"/k/%", "/k/%4", "/k/%zz", "/k/a%2"}) {
    const HttpResponse response = Ask(router, "GET", path);
    EXPECT_EQ(response.status, 400) << path;
    EXPECT_THAT(response.body, HasSubstr("key: a \\\"%\\\" in the path")) << path;
  }
}

// Would break if a parameter got another's value, or one that is malformed were guessed at.
TEST(QueryTest, NamesAndValues) {
  const auto parsed = ParseQuery("a=1&b=&c&d=x%26y%3Dz&e=a+b%2B&&a=2&f=x=y");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(*parsed, ElementsAre(Pair("a", "1"), Pair("b", ""), Pair("c", ""), Pair("d", "x&y=z"), Pair("e", "a b+"),
                                   Pair("a", "2"), Pair("f", "x=y")));
  EXPECT_THAT(*ParseQuery(""), ElementsAre());
  for (const char* query : {"a=%", "%=a", "a=%4", "a=1&b=%g0"}) EXPECT_FALSE(ParseQuery(query).ok()) << query;
  std::string many;
  for (int i = 0; i < 257; ++i) many += "t=x&";
  EXPECT_FALSE(ParseQuery(many).ok());
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
