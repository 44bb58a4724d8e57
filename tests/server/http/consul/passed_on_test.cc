// Requests that Consul answers itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/http/consul/consul_harness.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using Sent = testing::FakeRelay::Sent;
using Why = HttpExchange::Why;

class PassedOnTest : public ConsulHarness {
 protected:
  PassedOnTest() { ServeConsul(); }

  // Begins a request that is passed on.
  std::pair<FakeConnection*, std::shared_ptr<Sent>> Pass(const std::string& method, const std::string& target,
                                                         Headers headers = {}, std::string body = "") {
    FakeConnection* const connection = Start(method, target, std::move(headers), std::move(body));
    std::shared_ptr<Sent> sent = relay_.Take();
    EXPECT_NE(sent, nullptr) << target;
    if (sent == nullptr) std::abort();
    return {connection, std::move(sent)};
  }
  // Has the hub know the key "a".
  void Know() {
    FakeConnection* const first = Start("GET", "/v1/kv/a?stale");
    Publish({Entry("a", "v", 7)}, 7);
    EXPECT_TRUE(first->answered());
  }
};

// Would break if a byte of a body, or a header, were lost or made up on its way.
TEST_F(PassedOnTest, BothWays) {
  const std::string body = std::string("\0\xff\r\n\r\nGET / HTTP/1.1", 20);
  const auto [connection, sent] = Pass("PUT", "/v1/kv/a%2Fb%20c?flags=5&cas=0&token=x",
                                       {{"content-type", "a/b"}, {"x-one", "1"}, {"x-one", "2"}}, body);
  EXPECT_EQ(sent->request.method, "PUT");
  EXPECT_EQ(sent->request.target, "/v1/kv/a%2Fb%20c?flags=5&cas=0");
  EXPECT_EQ(sent->request.body, body);
  EXPECT_EQ(sent->request.token, "x");
  EXPECT_THAT(sent->request.headers, ElementsAre(Pair("content-type", "a/b"), Pair("x-one", "1"), Pair("x-one", "2")));
  EXPECT_FALSE(sent->request.waits);
  EXPECT_EQ(sent->request.timeout, absl::Seconds(60));
  sent->Answer(418, body,
               {{"X-Consul-Index", "9"},
                {"Content-Type", "x/y"},
                {"Content-Length", "20"},
                {"Date", "d"},
                {"Server", "s"},
                {"Vary", "v"},
                {"X-Two", "1"},
                {"X-Two", "2"}});
  Settle();
  ASSERT_TRUE(connection->answered());
  const HttpResponse& response = connection->response();
  EXPECT_EQ(response.status, 418);
  EXPECT_EQ(response.content_type, "x/y");
  EXPECT_EQ(response.body, body);
  EXPECT_FALSE(response.streamed);
  EXPECT_THAT(response.headers, ElementsAre(Pair("X-Consul-Index", "9"), Pair("X-Two", "1"), Pair("X-Two", "2"),
                                            Pair("X-Request-Id", ::testing::_)));
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if a wait that Consul was asked for were cut short by us, or one without an end kept.
TEST_F(PassedOnTest, Times) {
  const auto time = [this](const std::string& target) {
    const auto [connection, passed] = Pass("GET", target);
    EXPECT_EQ(passed->request.timeout, absl::InfiniteDuration());
    // An answer that comes soon is given whole; from then on it has so long to begin.
    connection->Fire();
    const absl::Duration begins_within = connection->wake_after();
    EXPECT_FALSE(passed->cancelled());
    connection->Fire();
    EXPECT_TRUE(passed->cancelled());
    return std::make_pair(passed->request.waits, begins_within);
  };
  EXPECT_EQ(time("/v1/agent/service/a?hash=af&wait=16s"), std::make_pair(true, absl::Seconds(32)));
  EXPECT_EQ(time("/v1/acl/tokens?index=5&wait=32s"), std::make_pair(true, absl::Seconds(49)));
  EXPECT_EQ(time("/v1/kv/a?consistent"), std::make_pair(false, absl::Seconds(60)));
  EXPECT_EQ(time("/v1/agent/self"), std::make_pair(false, absl::Seconds(60)));
  EXPECT_TRUE(time("/v1/agent/monitor?loglevel=debug").first);
  EXPECT_EQ(Pass("HEAD", "/v1/kv/a").second->request.method, "GET");
}

// Would break if Consul's refusals were not told in its own words, or an outage not as one.
TEST_F(PassedOnTest, Errors) {
  const auto end = [this](const absl::Status& status) {
    const auto [connection, sent] = Pass("PUT", "/v1/kv/a", {}, "v");
    sent->End(status);
    Settle();
    EXPECT_TRUE(connection->answered());
    return connection->response();
  };
  EXPECT_EQ(end(Away()).status, 500);
  EXPECT_EQ(Reason(end(Away())), "CONSUL_UNAVAILABLE");
  EXPECT_EQ(end(absl::DeadlineExceededError("late")).status, 500);
  EXPECT_EQ(end(absl::ResourceExhaustedError("busy")).status, 429);
  EXPECT_EQ(end(absl::InvalidArgumentError("bad")).status, 400);
  const auto [connection, sent] = Pass("PUT", "/v1/kv/a", {}, "v");
  sent->Head(200);
  sent->Body("tr");
  sent->End(Away());
  Settle();
  EXPECT_EQ(connection->response().status, 500) << "half an answer";
  EXPECT_THAT(connection->response().body, Not(HasSubstr("tr\n")));
}

// Would break if a long answer were kept whole, or a short one not given in one piece.
TEST_F(PassedOnTest, StreamsWhatTakesItsTime) {
  const auto [connection, sent] = Pass("GET", "/v1/agent/monitor");
  EXPECT_EQ(connection->wake_after(), absl::Seconds(1));
  sent->Head(200, {{"Content-Type", "text/plain"}});
  sent->Body("one");
  Settle();
  EXPECT_FALSE(connection->answered());
  connection->Fire();
  ASSERT_TRUE(connection->answered());
  EXPECT_TRUE(connection->response().streamed);
  EXPECT_EQ(connection->response().content_type, "text/plain");
  EXPECT_EQ(connection->Sent(), "one");
  EXPECT_EQ(connection->Sent(), "");
  sent->Body("two");
  sent->Body("three");
  EXPECT_EQ(connection->Sent(), "twothree");
  EXPECT_EQ(calls_.open(), 1) << "a drain waits for it";
  sent->End();
  EXPECT_EQ(connection->Sent(), "<end>");
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if the head that comes late were waited for in vain.
TEST_F(PassedOnTest, HeadAfterTheTimer) {
  const auto [connection, sent] = Pass("GET", "/v1/agent/monitor");
  connection->Fire();
  EXPECT_FALSE(connection->answered());
  sent->Head(200);
  Settle();
  ASSERT_TRUE(connection->answered());
  EXPECT_TRUE(connection->response().streamed);
  sent->End();
  EXPECT_EQ(connection->Sent(), "<end>");
}

// Would break if a reader that is slow cost memory without bound, lost bytes or were never given the rest.
TEST_F(PassedOnTest, SlowReaders) {
  const auto [connection, sent] = Pass("GET", "/v1/acl/tokens");
  sent->Head(200);
  std::string given, piece;
  int pieces = 0, resumed = 0;
  std::string read;
  while (pieces < 400) {
    piece = absl::StrCat(std::string(10'000, static_cast<char>('a' + pieces % 26)), pieces);
    if (sent->Body(piece)) {
      given += piece;
      ++pieces;
      continue;
    }
    ASSERT_LE(given.size() - read.size(), size_t{512} << 10);
    read += connection->Sent();
    ASSERT_EQ(sent->resumed(), ++resumed);
  }
  EXPECT_GT(resumed, 4);
  sent->End();
  read += connection->Sent();
  EXPECT_TRUE(read == given + "<end>") << read.size() << " of " << given.size();
}

// Would break if an answer that broke off looked whole. What came before it is given.
TEST_F(PassedOnTest, BrokenOff) {
  const auto [connection, sent] = Pass("GET", "/v1/acl/tokens");
  sent->Head(200);
  sent->Body("some");
  Settle();
  connection->Fire();
  sent->End(Away());
  EXPECT_EQ(connection->Sent(), "some") << "and no end";
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if Consul worked on for a caller who has gone.
TEST_F(PassedOnTest, TheCallerGoes) {
  const auto [connection, sent] = Pass("GET", "/v1/acl/tokens");
  connection->Close(Why::kGone);
  EXPECT_TRUE(sent->cancelled());
  sent->Head(200);
  sent->Body("late");
  sent->End();
  Settle();
  EXPECT_FALSE(connection->answered());
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if a read without any wish failed while something is known, and one that wants to be sure did not.
TEST_F(PassedOnTest, LastKnownWhileConsulIsAway) {
  Know();
  Advance(absl::Seconds(1));
  LoseConsul(Method::kReadKey);
  const auto read = [this](const std::string& target, bool answers) {
    const auto [connection, sent] = Pass("GET", target);
    answers ? sent->Answer(500, "No cluster leader") : sent->End(Away());
    Settle();
    EXPECT_TRUE(connection->answered()) << target;
    return connection->response();
  };
  for (const bool answers : {true, false}) {
    const HttpResponse known = read("/v1/kv/a", answers);
    EXPECT_EQ(known.status, 200);
    EXPECT_THAT(known.body, HasSubstr("\"dg==\""));
    EXPECT_EQ(HeaderOf(known, "X-Consul-Knownleader"), "false");
    EXPECT_NE(HeaderOf(known, "X-Consul-Lastcontact"), "0");
    const HttpResponse sure = read("/v1/kv/a?consistent", answers);
    EXPECT_EQ(sure.status, 500);
    EXPECT_EQ(HeaderOf(sure, "X-Consul-Index"), "");
    // Not below paths of which nothing is kept.
    EXPECT_EQ(read("/v1/agent/services", answers).status, 500);
  }
  EXPECT_EQ(read("/v1/kv/a?consistent", true).body, "No cluster leader");
  // What Consul has said for certain stands.
  for (const int status : {403, 404, 429}) {
    const auto [connection, sent] = Pass("GET", "/v1/kv/a");
    sent->Answer(status, "no");
    Settle();
    EXPECT_EQ(connection->response().status, status);
    EXPECT_EQ(connection->response().body, "no");
  }
}

// Would break if, where nothing is known, something else were said than what Consul has.
TEST_F(PassedOnTest, NothingKnownWhileConsulIsAway) {
  const auto [connection, sent] = Pass("GET", "/v1/kv/a");
  sent->Answer(500, "No cluster leader", {{"X-Any", "1"}});
  Settle();
  EXPECT_FALSE(connection->answered()) << "the hub asks by itself";
  ASSERT_TRUE(backend_.Fail(Method::kReadKey, Away()));
  Settle();
  ASSERT_TRUE(connection->answered());
  EXPECT_EQ(connection->response().status, 500);
  EXPECT_EQ(connection->response().body, "No cluster leader");
  EXPECT_THAT(connection->response().headers, Contains(Pair("X-Any", "1")));
}

// Would break if an answer that can only be given whole could fill the memory.
TEST_F(PassedOnTest, WholeAnswersAreBounded) {
  const auto put = [this](int megabytes, size_t more) {
    const auto [connection, sent] = Pass("PUT", "/v1/txn", {}, "[]");
    sent->Head(200);
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < megabytes; ++i) EXPECT_TRUE(sent->Body(piece));
    EXPECT_TRUE(sent->Body(std::string(more, 'x')));
    sent->End();
    Settle();
    EXPECT_TRUE(connection->answered());
    return connection->response();
  };
  EXPECT_EQ(put(63, 1 << 20).body.size(), size_t{64} << 20);
  const HttpResponse refused = put(64, 1);
  // Whoever asks again gets no less.
  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(Reason(refused), "ANSWER_TOO_LARGE");
  EXPECT_LT(refused.body.size(), 1000u);
}

}  // namespace
}  // namespace meshgate::server::consul_api
