// Consul's blocking queries, answered from the hub.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/limits/limits.h"
#include "tests/server/http/consul/consul_harness.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::HasSubstr;
using Why = HttpExchange::Why;

class BlockingReadTest : public ConsulHarness {
 protected:
  // Has the hub know the key "a" with this value; returns the index to wait with.
  std::string Know(const std::string& value, uint64_t index) {
    FakeConnection* const connection = Start("GET", "/v1/kv/a?index=1&wait=5m");
    Publish({Entry("a", value, index)}, index);
    EXPECT_TRUE(connection->answered());
    return Index(connection->response());
  }
  FakeConnection* Wait(const std::string& index, const std::string& more = "&wait=5m") {
    FakeConnection* const connection = Start("GET", absl::StrCat("/v1/kv/a?index=", index, more));
    EXPECT_FALSE(connection->answered());
    EXPECT_TRUE(connection->attached());
    return connection;
  }
};

// Would break if a change did not answer those who wait, or with an index that they cannot go on from.
TEST_F(BlockingReadTest, AnswersWhenTheKeyChanges) {
  ServeConsul();
  ASSERT_EQ(Know("v", 7), "7");
  std::vector<FakeConnection*> waiting;
  for (int i = 0; i < 50; ++i) waiting.push_back(Wait("7"));
  Advance(absl::Seconds(1));
  EXPECT_EQ(backend_.pending(Method::kReadKey), 1u) << "one query for all of them";
  Publish({Entry("a", "w", 12)}, 12);
  for (FakeConnection* const connection : waiting) {
    ASSERT_TRUE(connection->answered());
    const HttpResponse& response = connection->response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(Index(response), "12");
    EXPECT_EQ(HeaderOf(response, "X-Consul-Knownleader"), "true");
    EXPECT_EQ(HeaderOf(response, "X-Consul-Lastcontact"), "0");
    EXPECT_THAT(response.body, HasSubstr(R"("Key":"a","Flags":0,"Value":"dw==")"));
  }
  // Who has missed it is answered at once.
  EXPECT_EQ(Index(Get("GET", "/v1/kv/a?index=7")), "12");
  EXPECT_EQ(Get("GET", "/v1/kv/a?index=7&raw").body, "w");
  EXPECT_EQ(relay_.count(), 0);
}

// Would break if what is deleted, or comes to be, were no change.
TEST_F(BlockingReadTest, DeletedAndBack) {
  ServeConsul();
  Know("v", 7);
  FakeConnection* const deleted = Wait("7");
  Publish({}, 9);
  ASSERT_TRUE(deleted->answered());
  EXPECT_EQ(deleted->response().status, 404);
  EXPECT_EQ(deleted->response().body, "");
  EXPECT_EQ(Index(deleted->response()), "9");
  FakeConnection* const back = Wait("9");
  Publish({Entry("a", "v", 11)}, 11);
  ASSERT_TRUE(back->answered());
  EXPECT_EQ(back->response().status, 200);
}

// Would break if a wait had no end, or another one than was asked for.
TEST_F(BlockingReadTest, EndOfTheWait) {
  ServeConsul();
  Know("v", 7);
  FakeConnection* const connection = Wait("7", "&wait=16s");
  Advance(absl::Milliseconds(15'999));
  EXPECT_FALSE(connection->answered());
  // A sixteenth more at most.
  Advance(absl::Milliseconds(1'002));
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().status, 200);
  EXPECT_EQ(Index(connection->response()), "7");
}

// Would break if reads below /v1/health/ or of prefixes each were a query of Consul's.
TEST_F(BlockingReadTest, QueriesAndPrefixes) {
  ServeConsul();
  FakeConnection* const first = Start("GET", "/v1/health/service/web?index=1&passing&tag=b&tag=a");
  FakeConnection* const second = Start("GET", "/v1/health/service/web?tag=a&index=1&tag=b&passing=1&wait=10s");
  EXPECT_EQ(backend_.pending(Method::kReadQuery), 1u);
  EXPECT_EQ(LastCall().name, "/v1/health/service/web?passing&tag=a&tag=b");
  ASSERT_TRUE(backend_.AnswerQuery({200, "[{}]"}, 9));
  Settle();
  for (FakeConnection* const connection : {first, second}) {
    ASSERT_TRUE(connection->answered());
    EXPECT_EQ(connection->response().body, "[{}]");
    EXPECT_EQ(Index(connection->response()), "9");
  }
  // Of a token nobody else sees what it is answered.
  Start("GET", "/v1/health/service/web?index=1&passing&tag=b&tag=a", {{"x-consul-token", "mine"}});
  EXPECT_EQ(LastCall().read.token, "mine");

  FakeConnection* const prefix = Start("GET", "/v1/kv/app/?recurse&index=1");
  Publish({Entry("app/a", "", 5), Entry("app/b", "", 6)}, 6, Method::kReadPrefix);
  ASSERT_TRUE(prefix->answered());
  EXPECT_THAT(prefix->response().body, HasSubstr(R"("Key":"app/b")"));
  // An index of their own, and no values: Consul's alone.
  Start("GET", "/v1/kv/app/?keys&separator=/&index=1");
  EXPECT_EQ(LastCall().method, Method::kReadQuery);
  EXPECT_EQ(LastCall().name, "/v1/kv/app/?keys&separator=%2F");
}

// Would break if what waits for a caller who has gone went on.
TEST_F(BlockingReadTest, TheCallerGoes) {
  ServeConsul();
  Know("v", 7);
  FakeConnection* const connection = Wait("7", "&wait=10m");
  Advance(absl::Minutes(2));
  EXPECT_EQ(backend_.pending(Method::kReadKey), 1u);
  connection->Close(Why::kGone);
  Advance(absl::Minutes(2));
  EXPECT_EQ(backend_.pending(Method::kReadKey), 0u);
  EXPECT_FALSE(connection->answered());
  EXPECT_EQ(calls_.open(), 0) << "a drain would wait for it";
}

// Would break if a process that ends cut those who wait, in place of telling them what there is.
TEST_F(BlockingReadTest, Drain) {
  ServeConsul();
  Know("v", 7);
  FakeConnection* const connection = Wait("7");
  waiters_.EndAll();
  Settle();
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().status, 200);
  EXPECT_EQ(Index(connection->response()), "7");
  // Who comes now does not wait either.
  EXPECT_EQ(Index(Get("GET", "/v1/kv/a?index=7&wait=5m")), "7");
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if what the hub cannot tell were not asked of Consul, whose words callers know.
TEST_F(BlockingReadTest, AnErrorOfTheHub) {
  ServeConsul();
  FakeConnection* const connection = Start("GET", "/v1/health/service/web?filter=%22&index=5&wait=16s&token=mine");
  ASSERT_TRUE(backend_.Fail(Method::kReadQuery, absl::InvalidArgumentError("Failed to create boolean expression")));
  Settle();
  const auto sent = relay_.Take();
  ASSERT_NE(sent, nullptr);
  // As a read that does not wait once more.
  EXPECT_EQ(sent->request.target, "/v1/health/service/web?filter=%22");
  EXPECT_EQ(sent->request.token, "mine");
  EXPECT_FALSE(sent->request.waits);
  EXPECT_EQ(sent->request.timeout, absl::Seconds(60));
  sent->Answer(400, "Failed to create boolean expression: x");
  Settle();
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().status, 400);
  EXPECT_EQ(connection->response().body, "Failed to create boolean expression: x");
}

// Would break if a caller who has gone kept one of the few places that Consul's waiting queries have.
TEST_F(BlockingReadTest, TheCallerGoesAfterAnError) {
  ServeConsul();
  FakeConnection* const connection = Start("GET", "/v1/health/service/web?filter=%22&index=5&wait=10m");
  ASSERT_TRUE(backend_.Fail(Method::kReadQuery, absl::InvalidArgumentError("no")));
  Settle();
  const auto sent = relay_.Take();
  ASSERT_NE(sent, nullptr);
  EXPECT_FALSE(sent->cancelled());
  connection->Close(Why::kGone);
  EXPECT_TRUE(sent->cancelled());
  sent->End(absl::CancelledError(""));
  Settle();
  EXPECT_FALSE(connection->answered());
}

// Would break if an old state were all that is told while Consul is away, and not that it is old.
TEST_F(BlockingReadTest, WhileConsulIsAway) {
  ServeConsul();
  Know("v", 7);
  FakeConnection* const connection = Wait("7", "&wait=10m");
  Advance(absl::Seconds(1));
  LoseConsul(Method::kReadKey);
  Settle();
  EXPECT_FALSE(connection->answered()) << "being away is no change";
  Advance(absl::Minutes(11));
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().status, 200);
  EXPECT_EQ(Index(connection->response()), "7");
  EXPECT_EQ(HeaderOf(connection->response(), "X-Consul-Knownleader"), "false");
  EXPECT_GT(std::stoll(HeaderOf(connection->response(), "X-Consul-Lastcontact")), 600'000);
}

// Would break if a caller could have more of them waiting than it may have streams.
TEST_F(BlockingReadTest, Limits) {
  metrics::LimitReporter reporter;
  limits::LimitsOptions options;
  options.caller.streams = 1;
  limits::Limits limits(&scheduler_, &reporter, options);
  limits_ = &limits;
  ServeConsul();
  FakeConnection* const first = Start("GET", "/v1/kv/a?index=1");
  const HttpResponse refused = Get("GET", "/v1/kv/a?index=1");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(Reason(refused), "TOO_MANY_STREAMS");
  first->Close(Why::kGone);
  FakeConnection* const next = Start("GET", "/v1/kv/a?index=1");
  EXPECT_FALSE(next->answered());
  next->Close(Why::kGone);
  connections_.clear();
}

// Would break if those who are content with an older state were a question to Consul each.
TEST_F(BlockingReadTest, StaleAndCached) {
  ServeConsul();
  FakeConnection* const first = Start("GET", "/v1/kv/a?stale");
  Publish({Entry("a", "v", 7)}, 7);
  ASSERT_TRUE(first->answered());
  EXPECT_EQ(Get("GET", "/v1/kv/a?stale").status, 200);
  EXPECT_EQ(relay_.count(), 0);
  EXPECT_EQ(Get("HEAD", "/v1/kv/a?stale").status, 200);
  // Not for those who want to know for sure.
  FakeConnection* const consistent = Start("GET", "/v1/kv/a?consistent&cached");
  EXPECT_FALSE(consistent->answered());
  EXPECT_EQ(relay_.count(), 1);
  // Agents keep no keys, only what is asked about services and nodes.
  EXPECT_FALSE(Start("GET", "/v1/kv/a?cached")->answered());
  EXPECT_EQ(relay_.count(), 2);
  Start("GET", "/v1/health/service/web?cached");
  EXPECT_EQ(relay_.count(), 2);
}

// Whoever holds a lock asks so for as long as it does (api.Lock of Consul's Go client). Would break if each of them
// kept one of the few places at Consul, or were told what is not Consul's own word.
TEST_F(BlockingReadTest, ConsistentOnesWaitForTheHubAndAskConsul) {
  ServeConsul();
  FakeConnection* const connection = Start("GET", "/v1/kv/a?index=7&consistent&wait=5m");
  Publish({Entry("a", "v", 7)}, 7);
  EXPECT_FALSE(connection->answered());
  EXPECT_EQ(relay_.count(), 0);
  Publish({Entry("a", "w", 8)}, 8);
  const auto sent = relay_.Take();
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(sent->request.target, "/v1/kv/a?consistent");
  EXPECT_FALSE(sent->request.waits);
  sent->Answer(200, "[9]", {{"X-Consul-Index", "9"}});
  Settle();
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().body, "[9]");
  EXPECT_EQ(Index(connection->response()), "9");
}

}  // namespace
}  // namespace meshgate::server::consul_api
