#ifndef MESHGATE_TESTS_FAULT_WORLD_H_
#define MESHGATE_TESTS_FAULT_WORLD_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/fault/history.h"
#include "tests/fault/load.h"
#include "tests/fault/matrix.h"
#include "tests/fault/subscribers.h"
#include "tests/fault/validators.h"
#include "tests/fault/writers.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::fault {

// What every scenario has: two gateways in front of one Consul, writers, readers of all sorts, the history of it all,
// and the judgement. The scenario owns Consul and does the harm:
//
//   ConsulAgent agent;
//   World world({"a frozen agent", agent.url(), agent.url()});
//   ASSERT_TRUE(world.Start());
//   world.RunLoad(absl::Seconds(5));
//   agent.Freeze(); ... agent.Thaw();
//   world.Converge("the agent was thawed", bound);
//   world.Judge();
//
// Made and used on the test's main thread, which the child processes die with.
class World {
 public:
  static constexpr int kGateways = 2;

  struct Options {
    // The row in the table.
    std::string fault;
    // Where the gateways find Consul.
    std::string consul_url;
    // Where writers, and whoever looks for the truth, find it. Out of the fault's way where it can be.
    std::string agent_url;
    // Where instances are registered, where that is not agent_url.
    std::string service_agent_url;
    std::vector<std::string> gateway_flags;
    // Of the first gateway: a command that runs it, its environment, more flags.
    testing::ChildProcess::Options first_process;
    std::vector<std::string> first_flags;
  };

  explicit World(Options options);
  ~World();

  // Starts everything. The writers are paused. Returns when every reader has been told something; false where not.
  bool Start();

  // Lets the writers write and slow readers lag, at least for so long. They go on afterwards.
  void RunLoad(absl::Duration time);
  // Stops the writers, and the lagging. What is under way to readers may still arrive.
  void PauseLoad();
  // The same, and waits until every reader holds what Consul holds: whatever is heard afterwards has happened
  // afterwards.
  void Settle();
  History& history() { return history_; }
  Subscribers& subscribers() { return *subscribers_; }
  AgentWriter& hand() { return *hand_; }
  const std::string& folder() const { return folder_.path(); }
  std::string data_dir(int gateway) const;

  testing::GatewayProcess& gateway(int number) { return *gateways_[static_cast<size_t>(number)].process; }
  // SIGKILL, and the same again on the same address.
  void KillGateway(int number);
  bool StartGateway(int number);
  Options& options() { return options_; }

  // Starts a gateway again that has ended by itself, as a supervisor would. Returns whether it had.
  bool Supervise(int number);

  // Waits until all readers hear that they are stale. A violation where they don't within `bound`.
  void AwaitStale(absl::Duration bound = absl::Seconds(60));

  // The writers are paused. Waits until every reader holds what Consul holds, which is a violation where it takes
  // longer than `bound` from now on.
  void Converge(const std::string& after, absl::Duration bound);

  // One write, which has to reach its readers within `bound`.
  void Canary(absl::Duration bound);

  // The first gateway was started while Consul is away: every reader holds what Consul holds, whoever comes without a
  // token is told the same, and nobody is told that it is current.
  void CheckHeld(const std::string& when);

  void Add(const std::string& promise, const Violations& violations);

  // Pauses the writers; changes things while the readers that roam are away; converges; compares with fresh
  // subscriptions; lets all validators judge; adds the row to the table; fails the test for each violation.
  void Judge();

 private:
  struct Process {
    uint16_t port = 0;
    std::atomic<int> generation{0};
    std::unique_ptr<testing::GatewayProcess> process;
  };

  void AddSubscribers();
  std::map<Target, Holding> Truth();
  // What the first gateway tells readers without a token, of each target: until they are fresh, or a stale state will
  // do. The responses of those who were told no state are none.
  std::vector<SubscriberLog> SubscribeAfresh(bool stale_will_do, absl::Duration within);
  void ChangeThingsInTheGap();

  Options options_;
  const testing::TempDir folder_;
  History history_;
  std::array<Process, kGateways> gateways_;
  std::unique_ptr<AgentWriter> hand_;
  std::unique_ptr<Subscribers> subscribers_;
  std::unique_ptr<Load> load_;
  Row row_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_WORLD_H_
