// Three Consul servers for tests.
#ifndef MESHGATE_TESTS_TESTING_CONSUL_CLUSTER_H_
#define MESHGATE_TESTS_TESTING_CONSUL_CLUSTER_H_

#include <memory>
#include <optional>
#include <vector>

#include "tests/testing/consul_agent.h"

namespace meshgate::testing {

// A cluster of three servers on ports of 127.0.0.1, with their data on disk: it survives the loss of one, and of all
// when they come back. Elections take seconds. The same threads as for ConsulAgent.
class ConsulCluster {
 public:
  static constexpr int kServers = 3;

  // Starts them and waits until all are ready, which is a failure of the test where they don't become so.
  ConsulCluster();

  bool ready() const;
  ConsulAgent& server(int number) { return *servers_[static_cast<size_t>(number)]; }

  // Who leads, as `asked` sees it; absent where it knows nobody. Another server than the ones that are killed or
  // frozen.
  std::optional<int> Leader(int asked) const;
  // Polls until `asked` knows a leader that is none of `not_these`; absent where it does not within a minute.
  std::optional<int> AwaitLeader(int asked, const std::vector<int>& not_these = {}) const;

 private:
  std::vector<std::unique_ptr<ConsulAgent>> servers_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CONSUL_CLUSTER_H_
