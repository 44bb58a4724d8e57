// What happens to the agent: killed, frozen, restored, out of connections.
#include <gtest/gtest.h>

#include "tests/fault/connection_hog.h"
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
  for (int cycle = 0; cycle < Pick(1, 2); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(6)));
    world.Settle();
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
  for (int cycle = 0; cycle < Pick(2, 4); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
    const Outage outage{world.history().Now(), absl::InfiniteDuration(), /*told=*/false};
    agent.Freeze();
    // Every other time nobody waits for an answer when it is thawed.
    absl::SleepFor(cycle % 2 == 0 ? absl::Milliseconds(700) : Pick(absl::Seconds(3), absl::Seconds(6)));
    world.PauseLoad();
    agent.Thaw();
    world.Converge("the agent was thawed", Pick(absl::Seconds(20), absl::Seconds(5)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
    world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));
  }
  world.Judge();
}

// A restored snapshot brings an earlier state back: readers have to get there, told by a snapshot. Consul does not
// answer a query that is sent after a restore with an index from before it until its wait ends, whatever the state is:
// that is how long a reader may have to wait here, and why the wait is short.
TEST(FaultMatrix, SnapshotRestored) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  World world({"snapshot saved, more written, snapshot restored", agent.url(), agent.url()});
  world.options().gateway_flags = {"--consul_wait=8s"};
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < 2; ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
    const ConsulAgent::Answer saved = agent.Call("GET", "/v1/snapshot");
    ASSERT_EQ(saved.code, 200);
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
    // Every other time while everybody writes.
    const bool quiet = cycle % 2 == 0;
    if (quiet) world.Settle();
    world.history().LossBegins();
    ASSERT_EQ(agent.Call("PUT", "/v1/snapshot", saved.body).code, 200);
    world.history().LossEnds();
    if (!quiet) world.RunLoad(absl::Milliseconds(500));
    world.PauseLoad();
    world.Converge("a snapshot was restored", Pick(absl::Seconds(20), absl::Seconds(10)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  }
  world.Judge();
}

// Somebody else on this host uses up the connections that the agent allows it: a gateway that starts then has to live
// with what it knew, one that runs has to keep what it has.
TEST(FaultMatrix, ConnectionLimitExhausted) {
  ConsulAgent::Options options;
  options.hcl = "limits { http_max_conns_per_client = 80 }";
  ConsulAgent agent(options);
  ASSERT_TRUE(agent.ready());
  World world({"the agent's connections used up by somebody else", agent.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 2); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    {
      ConnectionHog hog(agent.http_port());
      world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(5)));
      EXPECT_GT(hog.refused(), 0) << "the limit was not reached";
      world.KillGateway(0);
      ASSERT_TRUE(world.StartGateway(0));
      world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(5)));
      world.PauseLoad();
    }
    world.Converge("the connections were free again", Pick(absl::Seconds(30), absl::Seconds(5)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  }
  world.Judge();
}

}  // namespace
}  // namespace meshgate::fault
