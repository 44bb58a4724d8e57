// The JSON API between clients on sockets and a real Consul.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/server/http/raw_client.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class HttpApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    gateway_ = std::make_unique<GatewayProcess>(
        std::vector<std::string>{"--backend=consul", "--consul_address=" + agent_.url()});
    ASSERT_TRUE(gateway_->listening());
  }

  static std::string Request(const std::string& method, const std::string& target, const std::string& headers = "",
                             const std::string& body = "") {
    return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: localhost\r\n", headers,
                        "Content-Length: ", body.size(), "\r\n\r\n", body);
  }
  RawClient::Response Call(const std::string& method, const std::string& target, const std::string& headers = "",
                           const std::string& body = "") {
    RawClient client(gateway_->http_address());
    client.Send(Request(method, target, headers, body));
    return client.Receive();
  }
  std::unique_ptr<RawClient> Follow(const std::string& target, const std::string& headers = "") {
    auto client = std::make_unique<RawClient>(gateway_->http_address());
    client->Send(Request("GET", target, headers));
    return client;
  }
  // What an event of the stream says; its framing included.
  static std::string Event(RawClient* client) {
    std::string event;
    do {
      event = client->ReceiveUntil("\n\n");
    } while (event.find("data: ") == std::string::npos && !event.empty());
    return event;
  }
  static std::string IdOf(const std::string& event) {
    const size_t at = event.find("id: ") + 4;
    return event.substr(at, event.find('\n', at) - at);
  }
  static std::string TagOf(const RawClient::Response& response) {
    const size_t at = response.head.find("ETag: ") + 6;
    return response.head.substr(at, response.head.find('\r', at) - at);
  }

  ConsulAgent agent_;
  std::unique_ptr<GatewayProcess> gateway_;
};

// Would break if a script could not read back what it wrote, or if one of two that write at the same time lost what the
// other had written without being told.
TEST_F(HttpApiTest, ReadsAndWritesWithConditions) {
  const std::string key = "/api/v1/config/app/a%20%C3%A4%3F";
  const auto created = Call("PUT", key, "If-None-Match: *\r\n", "one");
  ASSERT_EQ(created.status, 200) << created.body;
  EXPECT_EQ(agent_.Call("GET", "/v1/kv/app/a%20%C3%A4%3F?raw", "").body, "one");
  EXPECT_EQ(Call("PUT", key, "If-None-Match: *\r\n", "two").status, 409);
  const auto read = Call("GET", key + "?raw&consistency=consistent");
  EXPECT_EQ(read.body, "one");
  EXPECT_EQ(TagOf(read), TagOf(created));
  EXPECT_EQ(Call("GET", key, "If-None-Match: " + TagOf(read) + "\r\n").status, 304);
  EXPECT_EQ(Call("PUT", key, "If-Match: " + TagOf(read) + "\r\n", "two").status, 200);
  EXPECT_EQ(Call("PUT", key, "If-Match: " + TagOf(read) + "\r\n", "three").status, 409);
  EXPECT_EQ(Call("DELETE", key, "If-Match: " + TagOf(read) + "\r\n").status, 409);
  EXPECT_EQ(agent_.Call("GET", "/v1/kv/app/a%20%C3%A4%3F?raw", "").body, "two");
  EXPECT_EQ(Call("DELETE", key).status, 200);
  EXPECT_EQ(Call("GET", key + "?consistency=consistent").status, 404);
  const auto commit = Call("POST", "/api/v1/commit", "Content-Type: application/json\r\n",
                           R"({"operations":[{"put":{"key":"b","value":"eA=="}},{"put":{"key":"c","value":"eQ=="}}]})");
  EXPECT_EQ(commit.status, 200) << commit.body;
  EXPECT_EQ(agent_.Call("GET", "/v1/kv/c?raw", "").body, "y");
  EXPECT_EQ(Call("PUT", "/api/v1/config/big", "", std::string(524288, 'x')).status, 200);
  EXPECT_EQ(Call("GET", "/api/v1/config/big?raw").body.size(), 524288u);
  EXPECT_EQ(Call("PUT", "/api/v1/config/big", "", std::string((1 << 20) + 1, 'x')).status, 413);
}

// Would break if an instance that was registered with curl were not found, or not by those who follow its service.
TEST_F(HttpApiTest, RegistersAndDiscovers) {
  auto watch = Follow("/api/v1/watch/services/web");
  EXPECT_THAT(Event(watch.get()), HasSubstr(R"("events":[])"));
  const auto registered = Call(
      "PUT", "/api/v1/instances/web-1", "Content-Type: application/json\r\n",
      R"({"instance":{"service":"web","port":80},"checks":[{"ttl":"60s","initial_status":"HEALTH_STATUS_PASSING"}]})");
  ASSERT_EQ(registered.status, 200) << registered.body;
  EXPECT_THAT(Event(watch.get()), AllOf(HasSubstr("TYPE_PUT"), HasSubstr("web-1")));
  EXPECT_THAT(Call("GET", "/api/v1/services/web?consistency=default").body, HasSubstr("web-1"));
  EXPECT_THAT(Call("GET", "/api/v1/services?consistency=default").body, HasSubstr(R"("name":"web")"));
  EXPECT_EQ(Call("PUT", "/api/v1/instances/web-1/heartbeat?status=critical").status, 200);
  EXPECT_THAT(Event(watch.get()), AllOf(HasSubstr("TYPE_DELETE"), HasSubstr("web-1")));
  EXPECT_EQ(Call("DELETE", "/api/v1/instances/web-1").status, 200);
  EXPECT_EQ(Call("DELETE", "/api/v1/instances/web-1").status, 404);
}

// Would break if each stream cost Consul a query, or one of many missed a change, got one twice, or out of order.
TEST_F(HttpApiTest, ManyStreamsAreOneQuery) {
  constexpr int kStreams = 200, kChanges = 5;
  ASSERT_EQ(agent_.Call("PUT", "/v1/kv/k", "0").code, 200);
  std::vector<std::unique_ptr<RawClient>> streams;
  for (int i = 0; i < kStreams; ++i) {
    streams.push_back(Follow("/api/v1/watch/config/k"));
    EXPECT_THAT(Event(streams.back().get()), HasSubstr(R"("snapshot":true)"));
  }
  // And one of gRPC's thread, so to say: all there are.
  EXPECT_TRUE(gateway_->WaitForMetric(R"(meshgate_watch_streams{kind="key"})", kStreams));
  EXPECT_TRUE(gateway_->WaitForMetric(R"(meshgate_upstream_watches{kind="key"})", 1));
  for (int change = 1; change <= kChanges; ++change) {
    ASSERT_EQ(agent_.Call("PUT", "/v1/kv/k", absl::StrCat("v", change)).code, 200);
    // "dj" and a number: "v1" in base64 is "djE=".
    static const char* const kEncoded[] = {"", "djE=", "djI=", "djM=", "djQ=", "djU="};
    for (auto& stream : streams) {
      ASSERT_THAT(Event(stream.get()), AllOf(HasSubstr(kEncoded[change]), HasSubstr(R"("snapshot":false)")));
    }
  }
  streams.clear();
  EXPECT_TRUE(gateway_->WaitForMetric(R"(meshgate_watch_streams{kind="key"})", 0));
}

// Would break if a browser whose connection was cut missed what happened meanwhile, or was told all anew.
TEST_F(HttpApiTest, StreamsResume) {
  ASSERT_EQ(agent_.Call("PUT", "/v1/kv/k", "v1").code, 200);
  auto stream = Follow("/api/v1/watch/config/k");
  const std::string first = Event(stream.get());
  stream = nullptr;
  ASSERT_EQ(agent_.Call("PUT", "/v1/kv/k", "v2").code, 200);
  stream = Follow("/api/v1/watch/config/k", "Last-Event-ID: " + IdOf(first) + "\r\n");
  std::string event;
  do {
    event = Event(stream.get());
    EXPECT_THAT(event, HasSubstr(R"("snapshot":false)"));
  } while (event.find("djI=") == std::string::npos && !event.empty());
  auto poll = Follow("/api/v1/watch/config/k?wait=5m&after=" + IdOf(event));
  ASSERT_EQ(agent_.Call("PUT", "/v1/kv/k", "v3").code, 200);
  const auto answer = poll->Receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, AllOf(HasSubstr("djM="), HasSubstr(R"("snapshot":false)")));
  // The connection is as good as new.
  poll->Send(Request("GET", "/api/v1/config/k?raw&consistency=default"));
  EXPECT_EQ(poll->Receive().body, "v3");
}

// Would break if what surrounds the API were not switched on, or on for everybody.
TEST_F(HttpApiTest, PagesPackingAndTheDocument) {
  EXPECT_THAT(Call("GET", "/openapi.json").body, HasSubstr(R"("openapi":"3.0.3")"));
  EXPECT_THAT(Call("GET", "/openapi.json", "Accept-Encoding: gzip\r\n").head, HasSubstr("Content-Encoding: gzip\r\n"));
  const std::string origin = "Origin: https://ui.example.com\r\n";
  const std::string preflight = origin + "Access-Control-Request-Method: PUT\r\n";
  EXPECT_EQ(Call("OPTIONS", "/api/v1/config/k", preflight).status, 405);
  gateway_ = std::make_unique<GatewayProcess>(
      std::vector<std::string>{"--backend=consul", "--consul_address=" + agent_.url(),
                               "--http_cors_origins=https://ui.example.com", "--http_max_connections=3"});
  ASSERT_TRUE(gateway_->listening());
  const auto allowed = Call("OPTIONS", "/api/v1/config/k", preflight);
  EXPECT_EQ(allowed.status, 204);
  EXPECT_THAT(allowed.head, HasSubstr("Access-Control-Allow-Origin: https://ui.example.com\r\n"));
  auto page = Follow("/api/v1/watch/config/k", origin);
  EXPECT_THAT(page->Receive(false).head, HasSubstr("Access-Control-Allow-Origin: https://ui.example.com\r\n"));
  auto second = Follow("/api/v1/watch/config/k"), third = Follow("/api/v1/watch/config/k");
  Event(second.get());
  EXPECT_EQ(third->Receive().status, 429) << "the last connection is for calls";
  EXPECT_TRUE(RawClient(gateway_->http_address()).WaitForClose());
  third = nullptr;
  // Whoever asks needs a connection, too, and may be refused until the third has been seen to go.
  std::optional<double> refused;
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (!refused.has_value() && absl::Now() < end) {
    refused = gateway_->Metric("meshgate_http_connections_refused_total");
  }
  EXPECT_GE(refused.value_or(0), 1);
}

// Would break if a planned stop cut a stream without a word, or waited for streams to end by themselves.
TEST_F(HttpApiTest, DrainEndsStreams) {
  auto stream = Follow("/api/v1/watch/config/k");
  Event(stream.get());
  auto lines = Follow("/api/v1/watch/config/k", "Accept: application/x-ndjson\r\n");
  lines->ReceiveUntil("}\n");
  gateway_->process().Signal(SIGTERM);
  const std::string end = Event(stream.get());
  EXPECT_THAT(end, AllOf(HasSubstr("event: end\n"), HasSubstr("DRAINING")));
  EXPECT_EQ(stream->ReceiveUntil("0\r\n\r\n").substr(0, 2), "\r\n") << "the body is complete";
  EXPECT_THAT(lines->ReceiveUntil("}\n"), AllOf(HasSubstr(R"({"error":{)"), HasSubstr("DRAINING")));
  EXPECT_TRUE(gateway_->process().Wait().has_value());
}

}  // namespace
}  // namespace meshgate::testing
