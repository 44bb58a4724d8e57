// Consul's own API over the loss of the agent behind the gateway, and of the gateway itself.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/consul_api_calls.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tcp_proxy.h"

namespace meshgate::testing {
namespace {

constexpr char kKey[] = "/v1/kv/app/k";
constexpr char kPrefix[] = "/v1/kv/app/?recurse";
constexpr char kService[] = "/v1/health/service/web";
const std::vector<std::string>& Targets() {
  static const auto* const kTargets = new std::vector<std::string>{kKey, kPrefix, kService};
  return *kTargets;
}
// Longer than any test takes: what is answered was so because there was something to tell.
std::string Waiting(const std::string& target, uint64_t index) {
  return absl::StrCat(target, target.find('?') == std::string::npos ? "?" : "&", "wait=8m&index=", index);
}
std::string With(const std::string& target, const std::string& how) {
  return absl::StrCat(target, target.find('?') == std::string::npos ? "?" : "&", how);
}

class ConsulApiOutageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    // The index of who comes back empty is below this one's.
    for (int i = 0; i < 30; ++i) Put(absl::StrCat("other/", i), "x");
    Put("app/k", "before");
    Register("before");
    Start();
  }

  void Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--backend=consul", "--consul_address=" + agent_.url()};
    flags.insert(flags.end(), more.begin(), more.end());
    gateway_ = std::make_unique<GatewayProcess>(std::move(flags));
    ASSERT_TRUE(gateway_->listening());
  }
  void Put(const std::string& key, const std::string& value) {
    ASSERT_EQ(agent_.Call("PUT", "/v1/kv/" + key, value).code, 200);
  }
  void Register(const std::string& tag) {
    const auto answer = agent_.Call("PUT", "/v1/agent/service/register",
                                    absl::StrCat(R"({"Name": "web", "ID": "web-1", "Tags": [")", tag, "\"]}"));
    ASSERT_EQ(answer.code, 200) << answer.body;
  }
  ApiAnswer Ask(const std::string& target) { return CallApi(gateway_->http_address(), "GET", target); }
  bool WaitUntilAway() { return gateway_->WaitForMetric("meshgate_consul_up", 0); }

  // The hub takes a failed query or two for nothing.
  bool WaitUntilStale(const std::string& target) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (absl::Now() < end) {
      if (Ask(With(target, "stale")).header("X-Consul-Knownleader") == "false") return true;
    }
    return false;
  }

  struct Waiter {
    std::string target;
    uint64_t index;
    std::unique_ptr<ApiCall> call;
  };
  // Somebody waits for each target, with the index of now.
  std::vector<Waiter> WaitForAll() {
    std::vector<Waiter> waiters;
    for (const std::string& target : Targets()) {
      // By a query that waits: the gateway knows of it then.
      const ApiAnswer first = Ask(Waiting(target, 1));
      EXPECT_EQ(first.status(), 200) << target << first.bytes;
      EXPECT_GT(first.index(), 1u);
      waiters.push_back({target, first.index(), nullptr});
      Attach(&waiters.back());
    }
    return waiters;
  }
  void Attach(Waiter* waiter) {
    const double before = Waits();
    waiter->call = std::make_unique<ApiCall>(gateway_->http_address(), "GET", Waiting(waiter->target, waiter->index));
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (Waits() == before && absl::Now() < end) {
    }
  }
  // Requests that have come.
  double Waits() {
    double started = 0;
    for (const char* family : {"Kv", "Health"}) {
      started += gateway_
                     ->Metric(absl::StrCat("grpc_server_started_total{grpc_method=\"", family,
                                           "\",grpc_service=\"consul.v1\",grpc_type=\"unary\"}"))
                     .value_or(0);
    }
    return started;
  }

  ConsulAgent agent_;
  std::unique_ptr<GatewayProcess> gateway_;
};

// Would break if programs that watch by blocking queries saw an outage: as errors, or as changes that were none; or if
// they missed what was written meanwhile.
TEST_F(ConsulApiOutageTest, WhoWaitsIsHeldAndToldWhatIsNewAfterwards) {
  // The agent keeps its data, and is away for the gateway alone.
  TcpProxy proxy(agent_.http_port());
  Start({"--consul_address=" + proxy.url()});
  std::vector<Waiter> waiters = WaitForAll();
  proxy.SetMode(TcpProxy::Mode::kRefuse);
  proxy.BreakAll();
  ASSERT_TRUE(WaitUntilAway());
  // Those who come now wait as well.
  for (const std::string& target : Targets()) {
    waiters.push_back({target, waiters[waiters.size() - Targets().size()].index, nullptr});
    Attach(&waiters.back());
  }
  Put("app/k", "after");
  Register("after");
  proxy.SetMode(TcpProxy::Mode::kPass);
  for (Waiter& waiter : waiters) {
    const ApiAnswer answer = waiter.call->Wait();
    EXPECT_EQ(answer.status(), 200) << waiter.target << answer.bytes;
    EXPECT_TRUE(answer.Holds(waiter.target == kService ? "after" : "YWZ0ZXI=")) << waiter.target << answer.bytes;
    EXPECT_GT(answer.index(), waiter.index);
    EXPECT_EQ(answer.header("X-Consul-Knownleader"), "true") << answer.bytes;
  }
}

// Would break if whoever waited were left with what is gone: an agent that comes back without its data has an index
// below everybody's, and a blocking query of its own would not end before its wait.
TEST_F(ConsulApiOutageTest, WhoWaitsHasTheTruthWhenTheDataIsLost) {
  std::vector<Waiter> waiters = WaitForAll();
  agent_.Kill();
  ASSERT_TRUE(WaitUntilAway());
  agent_.Restart();
  ASSERT_TRUE(agent_.ready());
  for (Waiter& waiter : waiters) {
    const ApiAnswer answer = waiter.call->Wait();
    EXPECT_EQ(answer.status(), waiter.target == kService ? 200 : 404) << waiter.target << answer.bytes;
    EXPECT_FALSE(answer.Holds("before") || answer.Holds("YmVmb3Jl")) << waiter.target << answer.bytes;
    EXPECT_LT(answer.index(), waiter.index);
    // Those who were away meanwhile, too: the index is from before the loss.
    const ApiAnswer late = Ask(Waiting(waiter.target, waiter.index));
    EXPECT_EQ(late.status(), answer.status()) << waiter.target << late.bytes;
    EXPECT_LT(late.index(), waiter.index);
  }
  // Of what nobody has asked for before.
  const ApiAnswer other = Ask(Waiting("/v1/kv/other/1", waiters[0].index));
  EXPECT_EQ(other.status(), 404) << other.bytes;
  EXPECT_LT(other.index(), waiters[0].index);
  // And from there on they are told what is written.
  Waiter next = {kKey, Ask(kKey).index(), nullptr};
  Attach(&next);
  Put("app/k", "new");
  EXPECT_TRUE(next.call->Wait().Holds("bmV3"));
}

// Would break if programs had nothing to go by while the agent is away, were not told how old it is, or if those who
// insist on the truth were told something older.
TEST_F(ConsulApiOutageTest, ReadsHaveTheLastKnownStateAndSayHowOldItIs) {
  const std::vector<Waiter> waiters = WaitForAll();
  agent_.Kill();
  ASSERT_TRUE(WaitUntilAway());
  for (const Waiter& waiter : waiters) {
    EXPECT_EQ(Ask(waiter.target).header("X-Consul-Knownleader"), "false") << "Consul was asked just now";
    ASSERT_TRUE(WaitUntilStale(waiter.target));
    for (const std::string& target :
         {waiter.target, With(waiter.target, "stale"), With(waiter.target, "cached"), Waiting(waiter.target, 1)}) {
      const ApiAnswer answer = Ask(target);
      EXPECT_EQ(answer.status(), 200) << target << answer.bytes;
      EXPECT_TRUE(answer.Holds(waiter.target == kService ? "before" : "YmVmb3Jl")) << target << answer.bytes;
      EXPECT_EQ(answer.header("X-Consul-Knownleader"), "false") << target << answer.bytes;
      EXPECT_GT(std::atoi(answer.header("X-Consul-Lastcontact").c_str()), 0) << target << answer.bytes;
      EXPECT_EQ(answer.index(), waiter.index) << target << answer.bytes;
    }
    const ApiAnswer consistent = Ask(With(waiter.target, "consistent"));
    EXPECT_EQ(consistent.status(), 500) << consistent.bytes;
    EXPECT_FALSE(consistent.Holds("before") || consistent.Holds("YmVmb3Jl")) << consistent.bytes;
  }
  // Nothing is known of these, and nothing is taken.
  for (const char* target :
       {"/v1/kv/unknown", "/v1/health/service/unknown", "/v1/agent/services", "/v1/status/leader"}) {
    EXPECT_EQ(Ask(target).status(), 500) << target;
  }
  EXPECT_EQ(CallApi(gateway_->http_address(), "PUT", kKey, "", "x").status(), 500);
}

// Would break if a gateway that starts while the agent is away could not say to Consul's own clients what it knew.
TEST_F(ConsulApiOutageTest, ARestartedGatewayServesWhatItKnew) {
  const std::string data_dir = std::string(getenv("TEST_TMPDIR")) + "/data";
  Start({"--data_dir=" + data_dir});
  const ApiAnswer known = Ask(Waiting(kKey, 1));
  ASSERT_EQ(known.status(), 200) << known.bytes;
  ASSERT_TRUE(gateway_->WaitForMetric("meshgate_state_store_targets", 1)) << "the state was never stored";
  gateway_->process().Signal(SIGKILL);
  ASSERT_TRUE(gateway_->process().Wait().has_value());
  agent_.Kill();
  Start({"--data_dir=" + data_dir});
  for (const std::string& target : {std::string(kKey), With(kKey, "stale"), Waiting(kKey, 1)}) {
    const ApiAnswer answer = Ask(target);
    EXPECT_EQ(answer.status(), 200) << target << answer.bytes;
    EXPECT_TRUE(answer.Holds("YmVmb3Jl")) << target << answer.bytes;
    EXPECT_EQ(answer.header("X-Consul-Knownleader"), "false") << target << answer.bytes;
    EXPECT_GT(std::atoi(answer.header("X-Consul-Lastcontact").c_str()), 0) << target << answer.bytes;
  }
  EXPECT_EQ(Ask(With(kKey, "consistent")).status(), 500);
}

// Would break if a deployment cut off everybody who waits: they would see an error each time, and come back all at
// once.
TEST_F(ConsulApiOutageTest, SigtermAnswersThoseWhoWait) {
  std::vector<Waiter> waiters = WaitForAll();
  gateway_->process().Signal(SIGTERM);
  for (Waiter& waiter : waiters) {
    const ApiAnswer answer = waiter.call->Wait();
    EXPECT_EQ(answer.status(), 200) << waiter.target << answer.bytes;
    EXPECT_TRUE(answer.Holds(waiter.target == kService ? "before" : "YmVmb3Jl")) << waiter.target << answer.bytes;
    EXPECT_EQ(answer.index(), waiter.index);
  }
  const auto ended = gateway_->process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
}

}  // namespace
}  // namespace meshgate::testing
