// What happens to the agent: killed, frozen, restored, out of connections.
#include <gtest/gtest.h>

#include "tests/fault/world.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::fault {
namespace {

using testing::ConsulAgent;

// Data that are lost must not stand for ever, nor a reader miss what is written afterwards.
TEST(FaultMatrix, AgentKilledAndItsDataLost) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  World world({"kill -9 and restart of the agent, its data lost", agent.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 3); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(6)));
    world.load().Pause();
    Outage outage{world.history().Now()};
    world.history().LossBegins();
    agent.Kill();
    world.AwaitStale();
    agent.Restart();
    ASSERT_TRUE(agent.ready());
    world.history().LossEnds();
    world.Converge("the agent came back empty", Pick(absl::Seconds(20), absl::Seconds(2)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
    outage.end = world.history().Now();
    world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));

    // And once more while everybody writes.
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
    world.history().LossBegins();
    agent.Kill();
    agent.Restart();
    ASSERT_TRUE(agent.ready());
    world.history().LossEnds();
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
  }
  world.Judge();
}

// An agent that hangs deletes nothing, and what was written meanwhile arrives once.
TEST(FaultMatrix, AgentFrozen) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  World world({"SIGSTOP and SIGCONT of the agent", agent.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(2, 5); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
    const Outage outage{world.history().Now(), absl::InfiniteDuration(), /*told=*/false};
    agent.Freeze();
    // Every other time nobody waits for an answer when it is thawed.
    absl::SleepFor(cycle % 2 == 0 ? absl::Milliseconds(700) : Pick(absl::Seconds(3), absl::Seconds(10)));
    world.load().Pause();
    agent.Thaw();
    world.Converge("the agent was thawed", Pick(absl::Seconds(20), absl::Seconds(4)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
    world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));
  }
  world.Judge();
}

}  // namespace
}  // namespace meshgate::fault
