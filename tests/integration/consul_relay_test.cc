// The relay before a real Consul.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/consul/http/relay_fixture.h"
#include "tests/testing/certificates.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/pending.h"

namespace meshgate::consul::http {
namespace {

using testing::ConsulAgent;
using testing::Pending;

constexpr absl::Duration kBound = absl::Seconds(60);
// Consul takes 512 KiB for a value.
constexpr size_t kValue = 500'000;
constexpr int kValues = 12;

void PutMuch(const ConsulAgent& agent) {
  for (int i = 0; i < kValues; ++i) {
    ASSERT_EQ(agent.Call("PUT", absl::StrCat("/v1/kv/many/", i), std::string(kValue, static_cast<char>('a' + i))).code,
              200);
  }
}

// Whoever is pointed at the gateway in place of Consul would find something else.
TEST_F(RelayTest, ConsulIsWhatItIsWithoutARelay) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  Connect(agent.url());
  std::string value = "\r\n";
  for (int i = 0; i < 256; ++i) value.push_back(static_cast<char>(i));
  const auto put = Fetch(To("PUT", "/v1/kv/a%2Fb%20c?flags=18446744073709551615", value));
  EXPECT_EQ(put->WaitForEnd(), "OK");
  EXPECT_EQ(put->head().status, 200);
  EXPECT_EQ(put->body(), "true\n");
  EXPECT_EQ(put->header("Content-Type"), "application/json");
  const auto raw = Fetch(To("GET", "/v1/kv/a/b%20c?raw"));
  EXPECT_EQ(raw->body(), value);
  EXPECT_NE(raw->header("X-Consul-Index"), "none");
  for (const char* target :
       {"/v1/kv/a/b%20c", "/v1/kv/?recurse", "/v1/kv/?keys", "/v1/kv/missing", "/v1/kv//a", "/v1/kv/a?cas=x",
        "/v1/catalog/nodes", "/v1/health/state/any", "/v1/health/service/consul?filter=nonsense", "/v1/session/list",
        "/v1/status/leader", "/v1/status/peers", "/v1/agent/services", "/v1/nothing", "/v1/acl/tokens"}) {
    const auto relayed = Fetch(To("GET", target));
    const ConsulAgent::Answer direct = agent.Call("GET", target);
    EXPECT_EQ(relayed->WaitForEnd(), "OK") << target;
    EXPECT_EQ(relayed->head().status, direct.code) << target;
    EXPECT_EQ(relayed->body(), direct.body) << target;
  }
  EXPECT_TRUE(absl::StrContains(Fetch(To("GET", "/v1/agent/self"))->body(), agent.node_name()));
  EXPECT_EQ(Fetch(To("PUT", "/v1/kv/large", std::string(600'000, 'x')))->head().status, 413);
  EXPECT_EQ(Fetch(To("PUT", "/v1/agent/service/deregister/unknown"))->head().status,
            agent.Call("PUT", "/v1/agent/service/deregister/unknown").code);
  EXPECT_EQ(Fetch(To("PUT", "/v1/txn", R"([{"KV":{"Verb":"get","Key":"missing"}}])"))->head().status, 409);
  EXPECT_EQ(Fetch(To("DELETE", "/v1/kv/a?recurse"))->body(), "true\n");
  EXPECT_EQ(agent.Call("GET", "/v1/kv/a/b%20c").code, 404);
  EXPECT_EQ(agent.ClientConnections(), 1);
}

// A log would be read to the end of its time, or Consul write it to nobody for ever.
TEST_F(RelayTest, ALogIsFollowedUntilItsReaderLeaves) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  Connect(agent.url());
  RelayRequest request = To("GET", "/v1/agent/monitor?loglevel=debug");
  request.waits = true;
  request.timeout = absl::InfiniteDuration();
  const Sent sent = Send(request);
  ASSERT_TRUE(sent.sink->WaitForHead());
  EXPECT_EQ(sent.sink->head().status, 200);
  size_t heard = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(agent.Call("PUT", "/v1/agent/service/register", absl::StrCat(R"({"Name":"web)", i, R"("})")).code, 200);
    ASSERT_TRUE(sent.sink->WaitForBody(heard + 1)) << agent.Log();
    heard = sent.sink->body().size();
  }
  sent.call->Cancel();
  EXPECT_EQ(sent.sink->WaitForEnd(), "CANCELLED CANCELLED");
  EXPECT_TRUE(absl::StrContains(sent.sink->body(), "[DEBUG]")) << sent.sink->body();
  EXPECT_EQ(sent.sink->breach(), "");
  EXPECT_EQ(agent.ClientConnections(), 0);
}

// A caller's own blocking query would not be woken.
TEST_F(RelayTest, ABlockingQueryIsWoken) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  Connect(agent.url());
  ASSERT_EQ(agent.Call("PUT", "/v1/kv/a", "1").code, 200);
  const std::string index = Fetch(To("GET", "/v1/kv/a"))->header("X-Consul-Index");
  RelayRequest request = To("GET", absl::StrCat("/v1/kv/a?raw&wait=1m&index=", index));
  request.waits = true;
  request.timeout = absl::Minutes(2);
  const Sent sent = Send(request);
  ASSERT_EQ(agent.Call("PUT", "/v1/kv/a", "2").code, 200);
  EXPECT_EQ(sent.sink->WaitForEnd(), "OK");
  EXPECT_EQ(sent.sink->body(), "2");
  EXPECT_NE(sent.sink->header("X-Consul-Index"), index);
}

// A slow reader would lose bytes of a large answer, or the gateway keep it all for it.
TEST_F(RelayTest, ALargeAnswerInPieces) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  PutMuch(agent);
  Connect(agent.url());
  int pieces = 0;
  const Sent sent = Send(To("GET", "/v1/kv/many?recurse"), [&pieces](std::string_view) { return ++pieces % 3 == 0; });
  for (int refused = 0; sent.sink->WaitForNextRefusal(refused); sent.Resume()) refused = sent.sink->refused();
  EXPECT_EQ(sent.sink->WaitForEnd(), "OK");
  EXPECT_GT(sent.sink->refused(), 50);
  EXPECT_LE(sent.sink->largest(), size_t{64} << 10);
  EXPECT_TRUE(sent.sink->body() == agent.Call("GET", "/v1/kv/many?recurse").body);
  EXPECT_EQ(sent.sink->breach(), "");
}

// Readers that do not read would keep the gateway itself from Consul, or, over HTTP/2, have libcurl keep megabytes for
// each.
TEST_F(RelayTest, SlowReadersHoldUpNobodyElseOverTls) {
  const auto certificates = testing::MakeCertificates(getenv("TEST_TMPDIR"));
  ASSERT_TRUE(certificates.has_value());
  const uint16_t port = testing::FreePorts(1)[0];
  ConsulAgent::Options with_https;
  with_https.hcl = testing::HttpsOf(*certificates, port);
  ConsulAgent agent(with_https);
  ASSERT_TRUE(agent.ready());
  PutMuch(agent);
  ConsulBackendOptions options;
  options.address = absl::StrCat("https://127.0.0.1:", port);
  options.ca_file = certificates->ca_file;
  Connect(options);
  std::vector<Sent> slow;
  RelayRequest many = To("GET", "/v1/kv/many?recurse");
  many.timeout = absl::InfiniteDuration();
  for (int i = 0; i < 4; ++i) {
    slow.push_back(Send(many, [](std::string_view) { return false; }));
    ASSERT_TRUE(slow.back().sink->WaitForRefusal(1));
  }
  for (int i = 0; i < 5; ++i) {
    Pending<absl::StatusOr<Answer<std::vector<KvEntry>>>> read;
    ReadOptions within;
    within.timeout = kBound;
    backend_->ReadPrefix("many/", within, read.Callback());
    auto answer = read.Get(kBound);
    ASSERT_TRUE(answer.has_value() && answer->ok()) << (answer.has_value() ? answer->status().ToString() : "none");
    EXPECT_EQ((*answer)->value.size(), static_cast<size_t>(kValues));
  }
  const auto whole = Fetch(To("GET", "/v1/kv/many?recurse"));
  EXPECT_EQ(whole->WaitForEnd(), "OK");
  EXPECT_EQ(agent.ClientConnections(port), 6) << "one each, and one that all of the gateway's own reads share";
  for (const Sent& sent : slow) sent.call->Cancel();
  for (const Sent& sent : slow) EXPECT_EQ(sent.sink->WaitForEnd(), "CANCELLED CANCELLED");
}

}  // namespace
}  // namespace meshgate::consul::http
