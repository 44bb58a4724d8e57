#include "tests/testing/consul_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meshgate::testing {
namespace {

constexpr auto kLeaderWithin = std::chrono::seconds(60);
constexpr auto kPoll = std::chrono::milliseconds(50);

// A server that was killed is to come back, and gets its place back.
constexpr char kConfiguration[] =
    "performance { raft_multiplier = 1 }\n"
    "autopilot { cleanup_dead_servers = false }\n"
    "retry_interval = \"1s\"\n";

}  // namespace

ConsulCluster::ConsulCluster() {
  ConsulAgent::Options options;
  options.servers = kServers;
  options.hcl = kConfiguration;
  for (int i = 0; i < kServers; ++i) {
    servers_.push_back(std::make_unique<ConsulAgent>(options));
    options.join.push_back(servers_.back()->serf_port());
  }
  for (auto& server : servers_) {
    EXPECT_TRUE(server->AwaitReady()) << "no cluster:\n" << server->Log();
  }
}

bool ConsulCluster::ready() const {
  return std::all_of(servers_.begin(), servers_.end(), [](const auto& server) { return server->ready(); });
}

std::optional<int> ConsulCluster::Leader(int asked) const {
  const auto answer = servers_[static_cast<size_t>(asked)]->Call("GET", "/v1/status/leader");
  if (answer.code != 200) return std::nullopt;
  for (int i = 0; i < kServers; ++i) {
    if (absl::StrContains(answer.body, absl::StrCat(":", servers_[static_cast<size_t>(i)]->server_port(), "\""))) {
      return i;
    }
  }
  return std::nullopt;
}

std::optional<int> ConsulCluster::AwaitLeader(int asked, const std::vector<int>& not_these) const {
  const auto end = std::chrono::steady_clock::now() + kLeaderWithin;
  for (; std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(kPoll)) {
    const auto leader = Leader(asked);
    if (leader.has_value() && std::count(not_these.begin(), not_these.end(), *leader) == 0) return leader;
  }
  return std::nullopt;
}

}  // namespace meshgate::testing
