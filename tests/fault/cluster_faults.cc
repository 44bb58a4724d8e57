// Three servers that lose their leader, and their quorum.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/fault/witness.h"
#include "tests/fault/world.h"
#include "tests/testing/consul_cluster.h"

namespace meshgate::fault {
namespace {

using testing::ConsulCluster;

// A server that does not lead.
int Follower(int leader) { return (leader + 1) % ConsulCluster::kServers; }

// A watch's query fails with the leader, and its retry, a tenth of a second later at most, in such a time as well. The
// rest is for a machine that has too much to do.
constexpr absl::Duration kTwoFailedQueries = absl::Seconds(1);

// An election is no deletion; each reader hears once that it began, and once that it is over.
TEST(FaultMatrix, LeaderLost) {
  ConsulCluster cluster;
  ASSERT_TRUE(cluster.ready());
  const auto leader = cluster.AwaitLeader(0);
  ASSERT_TRUE(leader.has_value());
  auto& survivor = cluster.server(Follower(*leader));
  World world({"the leader of three servers killed", survivor.url(), survivor.url()});
  ASSERT_TRUE(world.Start());
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(5)));
  world.Settle();
  Outage outage{world.history().Now()};
  Witness witness(survivor.url());
  cluster.server(*leader).Kill();
  world.RunLoad(absl::ZeroDuration());
  const auto next = cluster.AwaitLeader(Follower(*leader), {*leader});
  ASSERT_TRUE(next.has_value());
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(30)));
  world.PauseLoad();
  world.Converge("another leader was elected", Pick(absl::Seconds(30), absl::Seconds(10)));
  world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  outage.end = world.history().Now();
  const Witness::Seen seen = witness.Stop();
  // The election may be over before a second query has failed, or hold it up.
  outage.told = seen.longest > kTwoFailedQueries;
  outage.times = std::max(1, seen.outages);
  world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));

  world.RunLoad(absl::ZeroDuration());
  cluster.server(*leader).Restart();
  ASSERT_TRUE(cluster.server(*leader).AwaitReady());
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(5)));
  world.Judge();
}

// Half a minute without a leader: nothing is deleted, each stream says once that it is stale and once that this is
// over, and nothing that was acknowledged is missing afterwards.
TEST(FaultMatrix, QuorumLost) {
  ConsulCluster cluster;
  ASSERT_TRUE(cluster.ready());
  const auto leader = cluster.AwaitLeader(0);
  ASSERT_TRUE(leader.has_value());
  const int survivor = Follower(*leader);
  const int other = Follower(survivor);
  World world(
      {"two of three servers killed, and back", cluster.server(survivor).url(), cluster.server(survivor).url()});
  ASSERT_TRUE(world.Start());
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(4)));
  world.Settle();
  Outage outage{world.history().Now()};
  Witness witness(cluster.server(survivor).url());
  world.RunLoad(absl::ZeroDuration());
  cluster.server(*leader).Kill();
  cluster.server(other).Kill();
  world.AwaitStale();
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(30)));
  world.PauseLoad();
  cluster.server(*leader).Restart();
  cluster.server(other).Restart();
  ASSERT_TRUE(cluster.server(*leader).AwaitReady());
  ASSERT_TRUE(cluster.server(other).AwaitReady());
  ASSERT_TRUE(cluster.AwaitLeader(survivor).has_value());
  world.Converge("the quorum was back", Pick(absl::Seconds(40), absl::Seconds(15)));
  world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  outage.end = world.history().Now();
  // More than once only where the servers lost each other again.
  outage.times = std::max(1, witness.Stop().outages);
  world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));
  world.Judge();
}

}  // namespace
}  // namespace meshgate::fault
