#ifndef MESHGATE_TESTS_FAULT_WITNESS_H_
#define MESHGATE_TESTS_FAULT_WITNESS_H_

#include <string>
#include <thread>

#include "consul/base/mutex.h"

namespace meshgate::fault {

// Asks an agent again and again, by itself, and counts how often it went away: on a machine that has too much to do one
// election can be followed by another. From its making to Stop().
class Witness {
 public:
  explicit Witness(std::string url);
  ~Witness() { Stop(); }

  // How many times it has answered, and then not. Idempotent.
  int Stop();

 private:
  void Run(const std::string& url);

  Mutex mu_;
  CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  int outages_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_WITNESS_H_
