// A real Consul for tests.
#ifndef MESHGATE_TESTS_TESTING_CONSUL_AGENT_H_
#define MESHGATE_TESTS_TESTING_CONSUL_AGENT_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace meshgate::testing {

// Free ports of 127.0.0.1, none of which this process was given before.
std::vector<uint16_t> FreePorts(int count);

// One `consul agent -dev` on free loopback ports: in memory, leader of itself, ready when the constructor returns (a
// server of a cluster is neither). A
// failure to start is a fatal failure of the test (ready() is then false). It dies with the thread that made it, so
// make it on the test's main thread. Not thread-safe.
//
// Needs consul in PATH. Tests that use it are tagged "block-network": each then has loopback ports of its own.
class ConsulAgent {
 public:
  struct Options {
    // Added to the agent's configuration, in HCL: `limits { http_max_conns_per_client = 8 }`.
    std::string hcl;
    // Added to its command line.
    std::vector<std::string> args;
    // For what the agent is asked until it is ready, where it has access control.
    std::string token;
    // More than 1: a server of a cluster of so many, with its data on disk, that joins those at these serf ports. It is
    // ready when the cluster has a leader, which the constructor does not wait for: see ConsulCluster.
    int servers = 1;
    std::vector<uint16_t> join;
  };

  // One answer; code 0: there was none.
  struct Answer {
    int code = 0;
    std::string body;
  };

  ConsulAgent() : ConsulAgent(Options{}) {}
  explicit ConsulAgent(Options options);
  // Stops it and removes its files.
  ~ConsulAgent();
  ConsulAgent(const ConsulAgent&) = delete;
  ConsulAgent& operator=(const ConsulAgent&) = delete;

  bool ready() const { return ready_; }
  uint16_t http_port() const { return http_port_; }
  uint16_t server_port() const { return server_port_; }
  uint16_t serf_port() const { return serf_port_; }
  // "http://127.0.0.1:port"
  std::string url() const;
  const std::string& node_name() const { return node_name_; }
  pid_t pid() const { return pid_; }

  // SIGTERM, as an operator would; returns when the process has ended.
  void Stop();
  // SIGKILL.
  void Kill();
  // SIGSTOP, returning when it has taken effect, and SIGCONT: connections stay, answers stop.
  void Freeze();
  void Thaw();
  // Starts it again on the same ports; what a -dev agent held is gone. It has been stopped or killed before.
  void Restart();

  // Polls until the agent knows a leader and shows its own name and node. False: not within 30 s, or it has exited.
  bool AwaitReady();

  // One request by somebody who is not the code under test, such as another writer. `target` is sent as it is.
  Answer Call(const std::string& method, const std::string& target, const std::string& body = "",
              const std::string& token = "") const;

  // Connections that clients hold to the HTTP port now, or to another port of the agent's.
  int ClientConnections() const { return ClientConnections(http_port_); }
  int ClientConnections(uint16_t port) const;

  // What it has logged so far, for a failure's message.
  std::string Log() const;

 private:
  void Launch();
  void Signal(int signal) const;
  void AwaitExit();

  const Options options_;
  std::string folder_;
  uint16_t http_port_ = 0;
  uint16_t server_port_ = 0;
  uint16_t serf_port_ = 0;
  std::string node_name_;
  pid_t pid_ = -1;
  bool ready_ = false;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CONSUL_AGENT_H_
