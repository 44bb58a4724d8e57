// A Consul agent that does what a real one can't be made to do.
#ifndef MESHGATE_TESTS_TESTING_SCRIPTED_AGENT_H_
#define MESHGATE_TESTS_TESTING_SCRIPTED_AGENT_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"

namespace meshgate::testing {

// Listens on 127.0.0.1, from construction to destruction, and answers each request with what its script says. Each
// connection has a thread, so one that waits holds up nobody. Thread-safe.
class ScriptedAgent {
 public:
  struct Reply {
    std::string bytes;
    enum class Then { kGoOn, kClose, kReset, kHold } then = Then::kGoOn;
  };
  // Called for each request, with its method and target ("GET /v1/kv/a"), from the connection's thread.
  using Script = std::function<Reply(const std::string& request)>;

  // A port of its own, or `port`, on which nobody else listens any more.
  explicit ScriptedAgent(Script script, uint16_t port = 0);
  // Breaks every connection.
  ~ScriptedAgent();
  ScriptedAgent(const ScriptedAgent&) = delete;
  ScriptedAgent& operator=(const ScriptedAgent&) = delete;

  // A whole answer.
  static std::string Http(int code, const std::string& body, const std::string& headers = "");
  // What an agent with a leader says to /v1/status/leader.
  static Reply Leader() { return {Http(200, "\"127.0.0.1:8300\""), Reply::Then::kGoOn}; }

  uint16_t port() const { return port_; }
  std::string url() const;
  void SetScript(Script script);

  // What was asked so far, in order.
  std::vector<std::string> requests();
  int count(const std::string& request);
  // Waits until `request` has been asked `count` times. False: not within half a minute.
  bool WaitFor(const std::string& request, int count = 1);
  // Waits until no connection is open. False: some still are after half a minute.
  bool WaitUntilDeserted();
  // Accepted so far.
  int connections();

 private:
  void Serve();
  void Converse(int fd);

  int listener_ = -1;
  uint16_t port_ = 0;
  Mutex mu_;
  CondVar changed_;
  Script script_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mu_);
  std::set<int> open_ ABSL_GUARDED_BY(mu_);
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_SCRIPTED_AGENT_H_
