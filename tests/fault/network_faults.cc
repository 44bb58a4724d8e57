// What happens between the gateways and the agent.
#include <gtest/gtest.h>

#include <string>

#include "tests/fault/world.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/tcp_proxy.h"

namespace meshgate::fault {
namespace {

using testing::ConsulAgent;
using testing::TcpProxy;

// The gateways reach the agent through a proxy, the other writers don't. `sudden`: connections that are there break
// when the fault begins, so that every query meets it.
void Harm(const std::string& fault, TcpProxy::Mode mode, bool sudden) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"on the way to the agent: " + fault, proxy.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 2); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    proxy.SetMode(mode);
    if (sudden) proxy.BreakAll();
    world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(6)));
    world.PauseLoad();
    proxy.SetMode(TcpProxy::Mode::kPass);
    // What was in the middle of it has to notice by itself, unless it is slower than a break.
    if (mode == TcpProxy::Mode::kSilent || mode == TcpProxy::Mode::kHalfClose) proxy.BreakAll();
    world.Converge(fault, Pick(absl::Seconds(20), absl::Seconds(4)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  }
  world.Judge();
}

// Late answers are late, nothing else.
TEST(FaultMatrix, AnswersDelayed) { Harm("answers late", TcpProxy::Mode::kDelay, false); }

// A state is told when it is whole.
TEST(FaultMatrix, AnswersDrip) { Harm("answers drip", TcpProxy::Mode::kDrip, false); }

// Half a list is not a list with deletions.
TEST(FaultMatrix, AnswersCut) { Harm("bodies cut in the middle", TcpProxy::Mode::kCutBody, false); }

// The same where the end of the answer is orderly.
TEST(FaultMatrix, AnswersHalfClosed) { Harm("half-closed in a body", TcpProxy::Mode::kHalfClose, false); }

// A page of something else is no state.
TEST(FaultMatrix, AnswersHtml) { Harm("HTML with 200", TcpProxy::Mode::kHtml, true); }

// Nor is an empty list without an index a deletion of everything.
TEST(FaultMatrix, AnswersEmpty) { Harm("an empty list without an index", TcpProxy::Mode::kEmptyJson, true); }

// A network that swallows everything.
TEST(FaultMatrix, NoAnswers) { Harm("nothing answers", TcpProxy::Mode::kSilent, true); }

// Nobody listens: told once, and over once.
TEST(FaultMatrix, ConnectionsRefused) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"on the way to the agent: connections refused", proxy.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 3); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    world.Settle();
    Outage outage{world.history().Now()};
    proxy.SetMode(TcpProxy::Mode::kRefuse);
    proxy.BreakAll();
    world.AwaitStale();
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(5)));
    world.PauseLoad();
    proxy.SetMode(TcpProxy::Mode::kPass);
    world.Converge("connections were possible again", Pick(absl::Seconds(20), absl::Seconds(4)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
    outage.end = world.history().Now();
    world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));
  }
  world.Judge();
}

}  // namespace
}  // namespace meshgate::fault
