#ifndef MESHGATE_TESTS_FAULT_CONNECTION_HOG_H_
#define MESHGATE_TESTS_FAULT_CONNECTION_HOG_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace meshgate::fault {

// Somebody on the same host who holds every connection that an agent allows, and takes each that becomes free, until
// this object goes.
class ConnectionHog {
 public:
  explicit ConnectionHog(uint16_t port);
  ~ConnectionHog();

  // Held now.
  int held() const { return held_; }
  // How often the agent has ended one of ours at once: it is at its limit.
  int refused() const { return refused_; }

 private:
  void Run(uint16_t port);

  std::atomic<bool> stopping_{false};
  std::atomic<int> held_{0};
  std::atomic<int> refused_{0};
  std::thread thread_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_CONNECTION_HOG_H_
