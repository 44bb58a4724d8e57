#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/http/api/api_harness.h"

namespace meshgate::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ConfigApiTest : public ApiHarness {};

// Would break if a value could not be read over HTTP, or a reader could not tell which state it has.
TEST_F(ConfigApiTest, Get) {
  auto get = Begin("GET", "/api/v1/config/app/db%20url");
  EXPECT_FALSE(get->answered());
  EXPECT_EQ(LastCall().name, "app/db url");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("app/db url", std::string("v\0", 2), 7)}, 9));
  Run();
  ASSERT_TRUE(get->answered());
  EXPECT_EQ(get->response().status, 200);
  EXPECT_EQ(get->response().content_type, "application/json");
  EXPECT_EQ(HeaderOf(get->response(), "ETag"), "\"7\"");
  EXPECT_NE(HeaderOf(get->response(), "X-Request-Id"), "");
  EXPECT_THAT(get->response().body,
              AllOf(HasSubstr(R"("key":"app/db url","value":"dgA=","flags":"0","create_index":"3","modify_index":"7")"),
                    HasSubstr(R"("source":"SOURCE_)")));

  const HttpResponse raw = Ask("GET", "/api/v1/config/app/db%20url?raw", {{"x-request-id", "mine"}});
  EXPECT_EQ(raw.body, std::string("v\0", 2));
  EXPECT_EQ(raw.content_type, "application/octet-stream");
  EXPECT_EQ(HeaderOf(raw, "ETag"), "\"7\"");
  EXPECT_EQ(HeaderOf(raw, "X-Meshgate-Source"), "SOURCE_CACHE");
  EXPECT_EQ(HeaderOf(raw, "X-Request-Id"), "mine");
}

// Would break if a client that has the current value were sent it again, or one that has not were told that it has.
TEST_F(ConfigApiTest, NotModified) {
  auto get = Begin("GET", "/api/v1/config/a");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("a", "v", 7)}, 9));
  Run();
  const std::pair<const char*, int> cases[] = {{"\"7\"", 304}, {"W/\"7\"", 304}, {"\"1\", \"7\"", 304}, {"*", 304},
                                               {"\"6\"", 200}, {"7", 200},       {"\"77\", \"\"", 200}, {"", 200}};
  for (const auto& [tag, want] : cases) {
    const HttpResponse response = Ask("GET", "/api/v1/config/a", {{"if-none-match", tag}});
    EXPECT_EQ(response.status, want) << tag;
    EXPECT_EQ(HeaderOf(response, "ETag"), "\"7\"");
    EXPECT_EQ(response.body.empty(), want == 304);
  }
}

// Would break if a missing key looked like an empty one, or like a missing path.
TEST_F(ConfigApiTest, NotFound) {
  auto get = Begin("GET", "/api/v1/config/a");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {}, 9));
  Run();
  EXPECT_EQ(get->response().status, 404);
  EXPECT_THAT(get->response().body, HasSubstr("KEY_NOT_FOUND"));
}

// Would break if a read did not go where, or was not as fresh as, the caller asked for.
TEST_F(ConfigApiTest, ReadOptions) {
  Begin("GET", "/api/v1/config/a?consistency=consistent&datacenter=dc2");
  EXPECT_EQ(LastCall().read.mode, consul::ReadMode::kConsistent);
  EXPECT_EQ(LastCall().read.datacenter, "dc2");
  Begin("GET", "/api/v1/config/a?consistency=CONSISTENCY_STALE");
  EXPECT_EQ(LastCall().read.mode, consul::ReadMode::kStale);
}

// Would break if a list could not be narrowed, paged, or told without values.
TEST_F(ConfigApiTest, List) {
  auto list = Begin("GET", "/api/v1/config?prefix=app%2F&keys_only&page_size=1");
  EXPECT_EQ(LastCall().name, "app/");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadPrefix, {Entry("app/a", "x", 5), Entry("app/b", "y", 6)}, 9));
  Run();
  EXPECT_EQ(list->response().status, 200);
  EXPECT_THAT(list->response().body, AllOf(HasSubstr(R"("key":"app/a","value":"")"), Not(HasSubstr("app/b"))));
  const std::string& body = list->response().body;
  const size_t at = body.find("\"next_page_token\":\"") + 19;
  const std::string token = body.substr(at, body.find('"', at) - at);
  const HttpResponse next = Ask("GET", "/api/v1/config?prefix=app/&page_token=" + token);
  EXPECT_THAT(next.body, AllOf(HasSubstr(R"("key":"app/b","value":"eQ==")"), HasSubstr(R"("next_page_token":"")")));
}

// Would break if a value arrived changed, or a body were taken for what it is not.
TEST_F(ConfigApiTest, Put) {
  const std::string binary("\0\xff{", 3);
  const std::pair<Headers, std::string> raw[] = {
      {{}, "/api/v1/config/a/b?flags=18446744073709551615"},
      {{{"content-type", "application/octet-stream"}}, "/api/v1/config/a/b?flags=18446744073709551615"},
      {{{"content-type", "application/x-www-form-urlencoded"}}, "/api/v1/config/a/b?raw&flags=18446744073709551615"}};
  for (const auto& [headers, target] : raw) {
    auto put = Begin("PUT", target, headers, binary);
    EXPECT_EQ(LastCall().entry.key, "a/b");
    EXPECT_EQ(LastCall().entry.value, binary);
    EXPECT_EQ(LastCall().entry.flags, ~uint64_t{0});
    EXPECT_EQ(LastCall().if_modify_index, std::nullopt);
    ASSERT_TRUE(backend_.AnswerPut(Entry("a/b", binary, 8)));
    Run();
    EXPECT_EQ(put->response().status, 200);
    EXPECT_EQ(HeaderOf(put->response(), "ETag"), "\"8\"");
    EXPECT_THAT(put->response().body, HasSubstr(R"("modify_index":"8")"));
  }
  Begin("PUT", "/api/v1/config/a/b", {{"content-type", "application/json; charset=utf-8"}},
        R"({"value":"AP97","flags":"3","if_modify_index":"5"})");
  EXPECT_EQ(LastCall().entry.value, binary);
  EXPECT_EQ(LastCall().entry.flags, 3u);
  EXPECT_EQ(LastCall().if_modify_index, 5u);
  // Without any body it is empty.
  Begin("PUT", "/api/v1/config/a/b", {}, "");
  EXPECT_EQ(LastCall().entry.value, "");
  EXPECT_EQ(Ask("PUT", "/api/v1/config/a", {{"content-type", "text/plain"}}, "x").status, 415);
}

// Would break if a conditional write became an unconditional one.
TEST_F(ConfigApiTest, Conditions) {
  Begin("PUT", "/api/v1/config/a", {{"if-match", "\"42\""}}, "x");
  EXPECT_EQ(LastCall().if_modify_index, 42u);
  Begin("PUT", "/api/v1/config/a", {{"if-none-match", "*"}}, "x");
  EXPECT_EQ(LastCall().if_modify_index, 0u);
  Begin("PUT", "/api/v1/config/a?if_modify_index=0", {}, "x");
  EXPECT_EQ(LastCall().if_modify_index, 0u);
  Begin("PUT", "/api/v1/config/a", {{"if-match", "W/\"43\""}}, "x");
  EXPECT_EQ(LastCall().if_modify_index, 43u);
  auto removal = Begin("DELETE", "/api/v1/config/a", {{"if-match", "\"42\""}});
  EXPECT_EQ(LastCall().method, Method::kDeleteKey);
  EXPECT_EQ(LastCall().if_modify_index, 42u);
  backend_.AnswerDone(Method::kDeleteKey, MakeError(absl::StatusCode::kAborted, reason::kCasMismatch, "changed"));
  Run();
  EXPECT_EQ(removal->response().status, 409);
  EXPECT_THAT(removal->response().body, HasSubstr("CAS_MISMATCH"));
  const size_t calls = backend_.calls().size();
  const std::pair<std::string, Headers> bad[] = {
      {"/api/v1/config/a", {{"if-match", "*"}}},
      {"/api/v1/config/a", {{"if-match", "42"}}},
      {"/api/v1/config/a", {{"if-match", "\"42"}}},
      {"/api/v1/config/a", {{"if-match", "\"-1\""}}},
      {"/api/v1/config/a", {{"if-match", "\"0\""}}},
      {"/api/v1/config/a", {{"if-match", "\"\""}}},
      {"/api/v1/config/a", {{"if-match", "\"1\", \"2\""}}},
      {"/api/v1/config/a", {{"if-match", "\"1\""}, {"if-match", "\"1\""}}},
      {"/api/v1/config/a", {{"if-match", "\"1\""}, {"if-none-match", "*"}}},
      {"/api/v1/config/a", {{"if-none-match", "\"1\""}}},
      {"/api/v1/config/a?if_modify_index=1", {{"if-match", "\"1\""}}},
  };
  for (const auto& [target, headers] : bad) {
    for (const char* method : {"PUT", "DELETE"}) {
      EXPECT_EQ(Ask(method, target, headers).status, 400) << method << headers[0].second;
    }
  }
  EXPECT_EQ(Ask("DELETE", "/api/v1/config/a", {{"if-none-match", "*"}}).status, 400);
  EXPECT_EQ(backend_.calls().size(), calls);
}

// Would break if deleting took more, or less, than was asked for.
TEST_F(ConfigApiTest, Delete) {
  auto one = Begin("DELETE", "/api/v1/config/a/b?datacenter=dc2");
  EXPECT_EQ(LastCall().method, Method::kDeleteKey);
  EXPECT_EQ(LastCall().name, "a/b");
  EXPECT_EQ(LastCall().write.datacenter, "dc2");
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeleteKey));
  Run();
  EXPECT_EQ(one->response().status, 200);
  EXPECT_EQ(one->response().body, "{}\n");
  Begin("DELETE", "/api/v1/config?prefix=a/");
  EXPECT_EQ(LastCall().method, Method::kDeletePrefix);
  EXPECT_EQ(LastCall().name, "a/");
  const size_t calls = backend_.calls().size();
  for (const char* target : {"/api/v1/config", "/api/v1/config?prefix=", "/api/v1/config?prefix", "/api/v1/config/"}) {
    EXPECT_EQ(Ask("DELETE", target).status, 400) << target;
  }
  EXPECT_EQ(backend_.calls().size(), calls);
}

// Would break if a transaction lost a part, or its error which part it was.
TEST_F(ConfigApiTest, Commit) {
  auto commit = Begin("POST", "/api/v1/commit", {kJson},
                      R"({"operations":[{"put":{"key":"a","value":"eA=="}},{"delete":{"prefix":"b/"}}]})");
  ASSERT_EQ(LastCall().operations.size(), 2u);
  ASSERT_TRUE(backend_.AnswerCommit({Entry("a", "x", 8)}));
  Run();
  EXPECT_THAT(commit->response().body, HasSubstr(R"("entries":[{"key":"a")"));
  const HttpResponse bad =
      Ask("POST", "/api/v1/commit", {kJson}, R"({"operations":[{"put":{"key":"a"}},{"put":{"key":"/b"}}]})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(bad.body, HasSubstr("operations[1].put.key"));
}

// Would break if callers could not tell when to come back, or whether a write was made.
TEST_F(ConfigApiTest, ConsulAway) {
  auto put = Begin("PUT", "/api/v1/config/a", {}, "x");
  backend_.Fail(Method::kPutKey, WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kWriteOutcomeUnknown,
                                                          "may have been applied"),
                                                absl::Seconds(2)));
  Run();
  EXPECT_EQ(put->response().status, 503);
  EXPECT_EQ(HeaderOf(put->response(), "Retry-After"), "2");
  EXPECT_THAT(put->response().body, HasSubstr("WRITE_OUTCOME_UNKNOWN"));
}

// Would break if calls over HTTP were not counted, were counted as going on for ever, or kept a drain waiting.
TEST_F(ConfigApiTest, CountsCalls) {
  Begin("GET", "/api/v1/config/a?bogus");
  auto put = Begin("PUT", "/api/v1/config/a", {}, "x");
  EXPECT_EQ(calls_.open(), 1);
  ASSERT_TRUE(backend_.AnswerPut(Entry("a", "x", 8)));
  Run();
  EXPECT_EQ(calls_.open(), 0);
  const std::string scrape = metrics_.Scrape();
  EXPECT_THAT(scrape, HasSubstr(R"(grpc_server_handled_total{grpc_code="OK",grpc_method="PutConfig",)"
                                R"(grpc_service="meshgate.v1.ConfigService",grpc_type="unary"} 1)"));
  EXPECT_THAT(scrape, HasSubstr(R"(grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="GetConfig",)"
                                R"(grpc_service="meshgate.v1.ConfigService",grpc_type="unary"} 1)"));
}

// Would break if a large value took a connection's thread from the others on it, or got lost on the way to another.
TEST_F(ConfigApiTest, LargeValues) {
  const std::string large(500 << 10, 'x');
  auto put = Begin("PUT", "/api/v1/config/a", {}, large);
  EXPECT_EQ(LastCall().entry.value, large);
  ASSERT_TRUE(backend_.AnswerPut(Entry("a", "", 8)));
  Run();
  auto get = Begin("GET", "/api/v1/config/a?raw");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("a", large, 8)}, 9));
  Run();
  EXPECT_EQ(get->response().body, large);
}

}  // namespace
}  // namespace meshgate::server
