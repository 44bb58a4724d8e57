// What an operator sees of an agent that goes away and comes back.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/child_process.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// Readiness, metrics and the log must agree on whether Consul is there, and the log not be filled by one outage.
TEST(ConsulAwayTest, ReadinessMetricsAndLogAgree) {
  ConsulAgent first, second;
  ASSERT_TRUE(first.ready() && second.ready());
  ChildProcess::Options options;
  options.stderr_file = absl::StrCat(getenv("TEST_TMPDIR"), "/log");
  GatewayProcess gateway({"--backend=consul", "--consul_address=" + first.url() + "," + second.url()}, options);
  ASSERT_TRUE(gateway.listening());
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_up", 1));
  EXPECT_EQ(gateway.Metric("meshgate_consul_breaker_state{state=\"closed\"}"), 1);

  first.Kill();
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_agent_changes_total", 1));
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_breaker_state{state=\"closed\"}", 1));
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_up", 1));

  second.Kill();
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_breaker_state{state=\"open\"}", 1));
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_up", 0));
  int code = 0;
  ASSERT_TRUE(gateway.Get("/readyz", &code).has_value());
  EXPECT_EQ(code, 503);

  second.Restart();
  ASSERT_TRUE(second.ready());
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_breaker_state{state=\"closed\"}", 1));
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_consul_up", 1));
  ASSERT_TRUE(gateway.Get("/readyz", &code).has_value());
  EXPECT_EQ(code, 200);
  EXPECT_EQ(gateway.Metric("meshgate_consul_breaker_opened_total"), 2);

  gateway.process().Signal(SIGTERM);
  ASSERT_TRUE(gateway.process().Wait().has_value());
  const std::string log = ReadFile(options.stderr_file);
  EXPECT_EQ(Count(log, "Consul does not answer, or has no leader"), 2) << log;
  EXPECT_EQ(Count(log, "another Consul agent is used now"), 1) << log;
  EXPECT_EQ(Count(log, "Consul is back"), 2) << log;
  EXPECT_EQ(Count(log, second.url()), 1) << log;
}

}  // namespace
}  // namespace meshgate
