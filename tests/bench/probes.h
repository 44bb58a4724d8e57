#ifndef MESHGATE_TESTS_BENCH_PROBES_H_
#define MESHGATE_TESTS_BENCH_PROBES_H_

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace meshgate::bench {

// Plain calls to the gateway at a steady rate beside whatever else happens: Register, and GetConfig that goes to Consul
// (CONSISTENCY_DEFAULT), each on a thread and a connection of its own. A call that is late because the one before it
// was slow counts from when it was due.
class Probes {
 public:
  struct Result {
    // Milliseconds.
    std::vector<double> registers;
    std::vector<double> gets;
    int failed = 0;
  };

  // `key` exists. From now on.
  Probes(const std::string& address, const std::string& key, int calls_per_second);
  ~Probes();

  // Ends them.
  Result Stop();

 private:
  // Returns whether the call succeeded.
  using Call = std::function<bool(int i)>;
  void Run(int calls_per_second, const Call& call, std::vector<double>* took);

  std::atomic<bool> stop_{false};
  std::atomic<int> failed_{0};
  std::vector<double> registers_, gets_;
  std::thread register_thread_, get_thread_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_PROBES_H_
