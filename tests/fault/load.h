#ifndef MESHGATE_TESTS_FAULT_LOAD_H_
#define MESHGATE_TESTS_FAULT_LOAD_H_

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "tests/fault/history.h"

namespace meshgate::fault {

// The names that are written, by whom they are:
//   load/a/*  by one writer at the agent, put and deleted       load/g/*  by one through the gateway
//   load/c/*  by two through the gateway, on condition          txn/*/{x,y,z}  together, in transactions at the agent
//   big/*     40 KB each, at the agent                          web-*     instances, at the agent and through the
//   gateway
constexpr char kLoadPrefix[] = "load/";
constexpr char kTxnPrefix[] = "txn/";
constexpr char kBigPrefix[] = "big/";
constexpr char kService[] = "web";

// Writers that go on writing, each on a thread, until they are paused.
class Load {
 public:
  // Where the names above are written.
  struct Places {
    std::string agent_url;
    std::string gateway;
    // Where instances are registered; may be another agent than the one the keys are written at.
    std::string service_agent_url;
  };

  Load(History* history, const Places& places);
  ~Load();

  // Begins paused.
  void Resume();
  // Returns when no write is under way.
  void Pause();

 private:
  using Random = std::mt19937;
  // `step` makes one write.
  void Run(int writer, absl::Duration pause, std::function<void(Random&)> step);

  Mutex mu_;
  CondVar changed_;
  bool paused_ ABSL_GUARDED_BY(mu_) = true;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  int writing_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_LOAD_H_
