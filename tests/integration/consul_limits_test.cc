// How many connections the backend uses, and what happens at Consul's limit.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/live_backend.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::consul {
namespace {

using testing::ConsulAgent;

// Watches would eat the connections that everybody else of this host needs, or starve registrations.
TEST(ConsulLimitsTest, WatchesStayWithinTheBudgetAndStarveNobody) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  http::ConsulBackendOptions options;
  options.address = agent.url();
  options.max_connections = 20;
  LiveBackend backend(options);
  ASSERT_TRUE(backend.Put("a", "1").ok());
  const uint64_t index = *backend.ReadKey("a")->meta.index;
  std::vector<LiveBackend::PendingEntries> watches;
  for (int i = 0; i < 100; ++i) watches.push_back(backend.Watch("a", index));
  for (int i = 0; i < 50; ++i) {
    auto put = backend.Put(absl::StrCat("b", i), "x");
    ASSERT_TRUE(put.ok()) << put.status();
  }
  EXPECT_LE(agent.ClientConnections(), 20);
  EXPECT_LE(backend.reporter().connections(), 20);
  EXPECT_GE(backend.reporter().connections(), 16) << "the share of watches is used";
  // Those that queued are sent when the first ones are answered, and then find the change as well.
  ASSERT_TRUE(backend.Put("a", "2").ok());
  for (const auto& watch : watches) {
    auto answer = watch.Get(LiveBackend::kBound);
    ASSERT_TRUE(answer.has_value() && answer->ok());
    EXPECT_EQ((*answer)->value.at(0).value, "2");
  }
  backend->Shutdown();
  EXPECT_EQ(backend.reporter().connections(), 0);
}

// A recursive read that turns out to be far larger than its caller has use for must not fill the memory, nor look like
// a failure of Consul's.
TEST(ConsulLimitsTest, AReadCanBeBounded) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  http::ConsulBackendOptions options;
  options.address = agent.url();
  LiveBackend backend(options);
  ASSERT_TRUE(backend.Put("a/1", std::string(30'000, 'x')).ok());
  ReadOptions bounded;
  bounded.max_bytes = 20'000;
  EXPECT_EQ(OutcomeOf(backend.ReadKey("a/1", bounded).status()), "RESOURCE_EXHAUSTED ANSWER_TOO_LARGE");
  bounded.max_bytes = 60'000;
  EXPECT_TRUE(backend.ReadKey("a/1", bounded).ok());
  EXPECT_EQ(backend->MaxBlockingQueries(), 128);
}

// At Consul's own limit a client must be told to slow down, not that there is nothing.
TEST(ConsulLimitsTest, ConsulsLimitIsResourceExhausted) {
  ConsulAgent::Options limited;
  limited.hcl = "limits { http_max_conns_per_client = 10 }";
  ConsulAgent agent(limited);
  ASSERT_TRUE(agent.ready());
  http::ConsulBackendOptions options;
  options.address = agent.url();
  LiveBackend backend(options);
  ASSERT_TRUE(backend.Put("a", "1").ok());
  const uint64_t index = *backend.ReadKey("a")->meta.index;
  std::vector<LiveBackend::PendingEntries> watches;
  for (int i = 0; i < 40; ++i) watches.push_back(backend.Watch("a", index, absl::Seconds(3)));
  int refused = 0;
  int answered = 0;
  for (const auto& watch : watches) {
    auto answer = watch.Get(LiveBackend::kBound);
    ASSERT_TRUE(answer.has_value());
    if (answer->ok()) {
      ++answered;
      EXPECT_EQ((*answer)->value.size(), 1u);
    } else {
      ++refused;
      EXPECT_EQ(OutcomeOf(answer->status()), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED") << answer->status();
      EXPECT_TRUE(RetryAfterOf(answer->status()).has_value());
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(answered, 0);
}

// Metrics would be wrong about what is asked of Consul.
TEST(ConsulLimitsTest, TrafficIsReported) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  http::ConsulBackendOptions options;
  options.address = agent.url();
  LiveBackend backend(options);
  ASSERT_TRUE(backend.Put("a", "1").ok());
  ASSERT_TRUE(backend.ReadKey("a").ok());
  ASSERT_TRUE(backend.ReadKey("missing").ok());
  EXPECT_EQ(backend.reporter().requests(Endpoint::kTxn, 200), 1);
  EXPECT_EQ(backend.reporter().requests(Endpoint::kKv, 200), 1);
  EXPECT_EQ(backend.reporter().requests(Endpoint::kKv, 404), 1);
  EXPECT_EQ(backend.reporter().connections(), 1);
}

}  // namespace
}  // namespace meshgate::consul
