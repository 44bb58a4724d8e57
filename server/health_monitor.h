#ifndef MESHGATE_SERVER_HEALTH_MONITOR_H_
#define MESHGATE_SERVER_HEALTH_MONITOR_H_

#include <memory>

#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"

namespace meshgate::server {

// What the store said when it was last asked.
struct StoreHealth {
  // False until the first answer, or the first failure to get one.
  bool asked = false;
  bool up = false;
  bool known_leader = false;
};

struct HealthMonitorOptions {
  // From an answer to the next question.
  absl::Duration interval = absl::Seconds(2);
  // No answer after this long counts as a failure.
  absl::Duration timeout = absl::Seconds(2);
};

// Asks the store how it is, again and again, for readiness and metrics; logs when that changes. Thread-safe.
class HealthMonitor {
 public:
  // `backend`, `scheduler` and `reporter` outlive the monitor, and what it has posted to the scheduler is harmless
  // after that.
  HealthMonitor(consul::Backend* backend, Scheduler* scheduler, consul::StoreReporter* reporter,
                HealthMonitorOptions options = {});

  // Same as Stop().
  ~HealthMonitor();

  // Asks for the first time, at once.
  void Start();

  // Does not wait for the interval: something may have changed. The answer that Latest() gives then was asked for after
  // this.
  void AskNow();

  // Asks no more. An answer on its way is ignored.
  void Stop();

  StoreHealth Latest() const;

 private:
  class Loop;
  const std::shared_ptr<Loop> loop_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HEALTH_MONITOR_H_
