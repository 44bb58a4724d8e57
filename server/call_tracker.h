#ifndef MESHGATE_SERVER_CALL_TRACKER_H_
#define MESHGATE_SERVER_CALL_TRACKER_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "consul/base/mutex.h"

namespace meshgate::server {

// Counts the calls in progress, so that a drain can wait for them. Thread-safe.
class CallTracker {
 public:
  void Begin() { ++open_; }

  void End() {
    if (--open_ > 0) return;
    MutexLock lock(mu_);
    idle_.NotifyAll();
  }

  int64_t open() const { return open_; }

  // Waits until there is none, at most until `deadline` on the wall clock; returns whether there is none.
  bool WaitIdle(absl::Time deadline) {
    MutexLock lock(mu_);
    while (open_ > 0) {
      if (!idle_.WaitUntil(mu_, deadline)) return open_ <= 0;
    }
    return true;
  }

 private:
  std::atomic<int64_t> open_{0};
  Mutex mu_;
  CondVar idle_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_CALL_TRACKER_H_
