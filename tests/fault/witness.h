#ifndef MESHGATE_TESTS_FAULT_WITNESS_H_
#define MESHGATE_TESTS_FAULT_WITNESS_H_

#include <string>
#include <thread>

#include "absl/time/time.h"
#include "consul/base/mutex.h"

namespace meshgate::fault {

// Asks an agent again and again, by itself, and notes how often it went away, and how long for: on a machine that has
// too much to do one election can be followed by another. From its making to Stop().
class Witness {
 public:
  explicit Witness(std::string url);
  ~Witness() { Stop(); }

  struct Seen {
    // How many times it has answered, and then not.
    int outages = 0;
    // The longest time in which each query failed at once: so another one would have.
    absl::Duration longest;
  };

  // Idempotent.
  Seen Stop();

 private:
  void Run(const std::string& url);

  Mutex mu_;
  CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  Seen seen_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_WITNESS_H_
