#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/http/api/api_harness.h"

namespace meshgate::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kKey[] = "/api/v1/watch/config/a";

class WatchApiTest : public ApiHarness {
 protected:
  // A change of the key that is watched.
  void Change(const std::string& value, uint64_t index) {
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("a", value, index)}, index));
    Run();
  }
  static std::string IdOf(const std::string& events) {
    const size_t at = events.rfind("id: ") + 4;
    return events.substr(at, events.find('\n', at) - at);
  }
  double Metric(const std::string& name) {
    const std::string scrape = metrics_.Scrape();
    const size_t at = scrape.find(name + " ");
    return at == std::string::npos ? -1 : std::stod(scrape.substr(at + name.size() + 1));
  }
};

// Would break if a browser's EventSource did not get the state, each change once, or did not know where it is.
TEST_F(WatchApiTest, Events) {
  auto stream = Begin("GET", kKey, {{"accept", "text/event-stream"}});
  EXPECT_FALSE(stream->answered());
  Change("v1", 5);
  stream->RunReady();
  ASSERT_TRUE(stream->answered());
  EXPECT_EQ(stream->response().status, 200);
  EXPECT_TRUE(stream->response().streamed);
  EXPECT_EQ(stream->response().content_type, "text/event-stream");
  const std::string first = stream->Sent();
  EXPECT_THAT(first, MatchesRegex("retry: [0-9]+\n\nid: a[-_A-Za-z0-9]+\ndata: \\{.*\\}\n\n"));
  EXPECT_THAT(first, AllOf(HasSubstr(R"("index":"5","snapshot":true)"), HasSubstr(R"("value":"djE=")")));
  Change("v2", 6);
  const std::string second = stream->Sent();
  EXPECT_THAT(second, AllOf(StartsWith("id: a"), HasSubstr(R"("snapshot":false)"), HasSubstr(R"("value":"djI=")")));
  EXPECT_EQ(stream->Sent(), "");
  EXPECT_NE(IdOf(first), IdOf(second));

  // One that comes back has missed nothing, and is not told again what it has.
  auto back = Begin("GET", kKey, {{"last-event-id", IdOf(second)}});
  EXPECT_THAT(back->Sent(), AllOf(HasSubstr(R"("events":[])"), HasSubstr(R"("snapshot":false)")));
  auto missed = Begin("GET", std::string(kKey) + "?after=" + IdOf(first));
  EXPECT_THAT(missed->Sent(), AllOf(HasSubstr(R"("snapshot":false)"), HasSubstr("djI=")));
  // What a browser knows wins over what it began with.
  auto again = Begin("GET", std::string(kKey) + "?after=" + IdOf(first), {{"last-event-id", IdOf(second)}});
  EXPECT_THAT(again->Sent(), HasSubstr(R"("events":[])"));
  EXPECT_EQ(backend_.pending(Method::kReadKey), 1u) << "one query for all";
}

// Would break if a program that reads lines got something else, or did not learn that an idle stream lives.
TEST_F(WatchApiTest, Lines) {
  auto stream = Begin("GET", kKey, {{"accept", "application/x-ndjson"}});
  Change("v1", 5);
  stream->RunReady();
  EXPECT_EQ(stream->response().content_type, "application/x-ndjson");
  EXPECT_THAT(stream->Sent(), MatchesRegex("\\{\"index\":\"5\",[^\n]*\\}\n"));
  scheduler_.Advance(absl::Seconds(15));
  EXPECT_THAT(stream->Sent(), MatchesRegex("\\{\"index\":\"5\",[^\n]*\"events\":\\[\\][^\n]*\\}\n"));
}

// Would break if prefixes or services could not be followed.
TEST_F(WatchApiTest, PrefixesAndServices) {
  auto prefix = Begin("GET", "/api/v1/watch/config?prefix=app%2F");
  EXPECT_EQ(LastCall().method, Method::kReadPrefix);
  EXPECT_EQ(LastCall().name, "app/");
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadPrefix, {Entry("app/x", "v", 5)}, 5));
  Run();
  EXPECT_THAT(prefix->Sent(), HasSubstr("app/x"));
  auto everything = Begin("GET", "/api/v1/watch/config?prefix=");
  EXPECT_EQ(LastCall().name, "");
  auto service = Begin("GET", "/api/v1/watch/services/web?include_unhealthy");
  EXPECT_EQ(LastCall().name, "web");
  consul::Instance instance;
  instance.id = "web-1";
  instance.service = "web";
  instance.health = consul::Health::kCritical;
  ASSERT_TRUE(backend_.AnswerService({instance}, 5));
  Run();
  EXPECT_THAT(service->Sent(), AllOf(HasSubstr("web-1"), HasSubstr("HEALTH_STATUS_CRITICAL")));
}

// Would break if proxies took an idle stream for dead, or an active one said needless things.
TEST_F(WatchApiTest, Heartbeats) {
  auto stream = Begin("GET", kKey);
  Change("v1", 5);
  stream->Sent();
  EXPECT_EQ(stream->wake_after(), absl::Seconds(15));
  scheduler_.Advance(absl::Seconds(10));
  Change("v2", 6);
  stream->Sent();
  scheduler_.Advance(absl::Seconds(5));
  stream->Fire();
  EXPECT_EQ(stream->Sent(), "");
  EXPECT_EQ(stream->wake_after(), absl::Seconds(10));
  scheduler_.Advance(absl::Seconds(10));
  stream->Fire();
  EXPECT_EQ(stream->Sent(), ":\n\n");
  EXPECT_EQ(stream->wake_after(), absl::Seconds(15));
}

// Would break if a client of a slow Consul did not learn that its stream stands.
TEST_F(WatchApiTest, BeginsWithoutAState) {
  auto stream = Begin("GET", kKey);
  EXPECT_EQ(stream->wake_after(), absl::Seconds(1));
  EXPECT_FALSE(stream->answered());
  stream->Fire();
  ASSERT_TRUE(stream->answered());
  EXPECT_EQ(stream->response().status, 200);
  EXPECT_THAT(stream->Sent(), MatchesRegex("retry: [0-9]+\n\n"));
  Change("v1", 5);
  EXPECT_THAT(stream->Sent(), HasSubstr("djE="));
}

// Would break if a watch that cannot be looked like one that was cut, which clients open again and again.
TEST_F(WatchApiTest, EndsWithAStatus) {
  auto refused = Begin("GET", "/api/v1/watch/services/web?filter=x");
  backend_.Fail(Method::kReadService,
                MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidFilter, "no filter"));
  Run();
  refused->RunReady();
  ASSERT_TRUE(refused->answered());
  EXPECT_EQ(refused->response().status, 400);
  EXPECT_FALSE(refused->response().streamed);
  EXPECT_THAT(refused->response().body, HasSubstr("INVALID_FILTER"));
  EXPECT_EQ(calls_.open(), 0);
  refused->Close(HttpExchange::Why::kDone);

  auto late = Begin("GET", "/api/v1/watch/services/web2?filter=x", {{"accept", "application/x-ndjson"}});
  late->Fire();
  backend_.Fail(Method::kReadService,
                MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidFilter, "no filter"));
  Run();
  EXPECT_THAT(late->Sent(), MatchesRegex("\\{\"error\":\\{\"code\":3,.*INVALID_FILTER.*\\}\\}\n<end>"));
}

// Would break if a drain cut streams without a word, waited for readers that do not read, or for ever.
TEST_F(WatchApiTest, Drains) {
  auto stream = Begin("GET", kKey);
  Change("v1", 5);
  stream->Sent();
  auto poll = Begin("GET", std::string(kKey) + "?wait=30s&after=" + IdOf(Begin("GET", kKey)->Sent()));
  poll->RunReady();
  EXPECT_FALSE(poll->answered());
  EXPECT_EQ(calls_.open(), 2);
  streams_.EndAll(
      WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"), absl::Seconds(1)));
  stream->RunReady();
  poll->RunReady();
  // Before a byte of it is sent.
  EXPECT_EQ(calls_.open(), 0);
  EXPECT_THAT(stream->Sent(), MatchesRegex("event: end\ndata: \\{\"code\":14,.*DRAINING.*\\}\n\n<end>"));
  ASSERT_TRUE(poll->answered());
  EXPECT_EQ(poll->response().status, 503);
  EXPECT_EQ(HeaderOf(poll->response(), "Retry-After"), "1");
  auto late = Begin("GET", kKey);
  late->RunReady();
  EXPECT_EQ(late->response().status, 503);
  // A browser comes back after the end of a stream, and never after an error.
  auto browser = Begin("GET", kKey, {{"accept", "text/event-stream"}});
  browser->RunReady();
  EXPECT_EQ(browser->response().status, 200);
  EXPECT_EQ(browser->response().content_type, "text/event-stream");
  EXPECT_THAT(browser->response().body, MatchesRegex("retry: [0-9]+\n\nevent: end\ndata: \\{\"code\":14,.*\\}\n\n"));
  EXPECT_EQ(calls_.open(), 0);
}

// Would break if a large message kept the others on a thread waiting, was written for each stream, or overtook another.
TEST_F(WatchApiTest, LargeMessagesAreWrittenElsewhere) {
  auto first = Begin("GET", kKey);
  auto poll = Begin("GET", std::string(kKey) + "?wait=30s");
  const std::string large(100 << 10, 'x');
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("a", large, 5)}, 5));
  Run();
  for (auto* one : {first.get(), poll.get()}) {
    one->RunReady();
    EXPECT_FALSE(one->answered());
    // Word of what it waits for already changes nothing.
    one->Fire();
  }
  EXPECT_TRUE(first->answered()) << "begins without its first message";
  EXPECT_FALSE(poll->answered());
  Run();
  EXPECT_THAT(first->Sent(), AllOf(StartsWith("retry: "), HasSubstr(R"("index":"5","snapshot":true)")));
  poll->RunReady();
  EXPECT_FALSE(poll->answered()) << "what packs the answer must not do so here";
  Run();
  EXPECT_THAT(poll->response().body, HasSubstr(R"("snapshot":true)"));
  // Ends before it is written.
  ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry("a", large + "y", 6)}, 6));
  Run();
  first->RunReady();
  streams_.EndAll(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"));
  EXPECT_THAT(first->Sent(), AllOf(StartsWith("event: end\n"), ::testing::EndsWith("<end>")));
  Run();
  first->RunReady();
}

// Would break if the metrics did not tell who has left, or a stream lived on behind its reader.
TEST_F(WatchApiTest, CountsEnds) {
  const std::string handled =
      R"(",grpc_method="WatchConfig",grpc_service="meshgate.v1.ConfigService",grpc_type="server_stream"})";
  auto gone = Begin("GET", kKey);
  Change("v1", 5);
  gone->Sent();
  EXPECT_EQ(streams_.size(), 1u);
  gone->Close(HttpExchange::Why::kGone);
  EXPECT_EQ(Metric("grpc_server_handled_total{grpc_code=\"Canceled" + handled), 1);
  auto slow = Begin("GET", kKey);
  slow->Sent();
  slow->Close(HttpExchange::Why::kStalled);
  EXPECT_EQ(Metric("grpc_server_handled_total{grpc_code=\"Unavailable" + handled), 1);
  EXPECT_EQ(streams_.size(), 0u);
  EXPECT_EQ(calls_.open(), 0);
  EXPECT_EQ(
      Metric(
          R"(grpc_server_msg_sent_total{grpc_method="WatchConfig",grpc_service="meshgate.v1.ConfigService",grpc_type="server_stream"})"),
      2);
}

// Would break if a poll did not wait for what is new, told what its caller knows, or went on behind its wait.
TEST_F(WatchApiTest, Polls) {
  auto first = Begin("GET", std::string(kKey) + "?wait=30s");
  Change("v1", 5);
  first->RunReady();
  ASSERT_TRUE(first->answered());
  EXPECT_EQ(first->response().status, 200);
  EXPECT_EQ(first->response().content_type, "application/json");
  EXPECT_THAT(first->response().body, AllOf(HasSubstr(R"("snapshot":true)"), HasSubstr("djE=")));
  const std::string& body = first->response().body;
  const size_t at = body.find("\"resume_token\":\"") + 16;
  const std::string token = body.substr(at, body.find('"', at) - at);

  auto changed = Begin("GET", std::string(kKey) + "?wait=30s&after=" + token);
  auto unchanged = Begin("GET", std::string(kKey) + "?wait=30s&after=" + token);
  for (auto* poll : {changed.get(), unchanged.get()}) {
    poll->RunReady();
    EXPECT_FALSE(poll->answered());
    EXPECT_EQ(poll->wake_after(), absl::Seconds(30));
  }
  unchanged->Fire();
  ASSERT_TRUE(unchanged->answered());
  EXPECT_EQ(unchanged->response().status, 200);
  EXPECT_THAT(unchanged->response().body, AllOf(HasSubstr(R"("events":[])"), HasSubstr(token)));
  Change("v2", 6);
  changed->RunReady();
  ASSERT_TRUE(changed->answered());
  EXPECT_THAT(changed->response().body, AllOf(HasSubstr("djI="), HasSubstr(R"("snapshot":false)")));
  EXPECT_EQ(calls_.open(), 0);

  auto unknown = Begin("GET", "/api/v1/watch/config/b?wait=1s");
  unknown->Fire();
  EXPECT_EQ(unknown->response().status, 504);
}

// Would break if an outage of Consul made every poll return at once, and its clients ask without end.
TEST_F(WatchApiTest, PollsWaitThroughAnOutage) {
  auto first = Begin("GET", std::string(kKey) + "?wait=30s");
  Change("v1", 5);
  first->RunReady();
  const std::string& body = first->response().body;
  const size_t at = body.find("\"resume_token\":\"") + 16;
  const std::string token = body.substr(at, body.find('"', at) - at);
  first->Close(HttpExchange::Why::kDone);
  LoseConsul(Method::kReadKey);
  auto poll = Begin("GET", std::string(kKey) + "?wait=30s&after=" + token);
  poll->RunReady();
  EXPECT_FALSE(poll->answered());
  poll->Fire();
  EXPECT_THAT(poll->response().body, HasSubstr(R"("stale":true)"));
}

}  // namespace
}  // namespace meshgate::server
