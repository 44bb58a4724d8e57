// Where work runs and what time it is.
#ifndef MESHGATE_CONSUL_BASE_SCHEDULER_H_
#define MESHGATE_CONSUL_BASE_SCHEDULER_H_

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace meshgate {

// Runs tasks now or later on threads of its own, and is the only clock that core logic reads: tests drive both by hand
// (tests/testing/manual_scheduler.h).
//
// Thread-safe. Tasks may run concurrently and in any order; a task must not block. No call of a
// Scheduler runs a task before it returns, so they may be made under a lock.
class Scheduler {
 public:
  using Task = absl::AnyInvocable<void()>;
  // Never 0.
  using TimerId = uint64_t;

  virtual ~Scheduler() = default;

  // Monotonic: differences are meaningful, the absolute value is not a date.
  virtual absl::Time Now() = 0;

  // Runs `task` soon, never inside this call.
  virtual void Post(Task task) = 0;

  // Runs `task` once, not before `delay` has passed, unless it is cancelled first. A negative delay counts as zero.
  virtual TimerId After(absl::Duration delay, Task task) = 0;

  // Returns whether the task will now never run. False: it has run, is running, or is about to.
  virtual bool Cancel(TimerId timer) = 0;
};

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_SCHEDULER_H_
