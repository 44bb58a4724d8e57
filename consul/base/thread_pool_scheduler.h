#ifndef MESHGATE_CONSUL_BASE_THREAD_POOL_SCHEDULER_H_
#define MESHGATE_CONSUL_BASE_THREAD_POOL_SCHEDULER_H_

#include <memory>
#include <string>

#include "consul/base/scheduler.h"

namespace meshgate {

// A Scheduler on a fixed number of threads: the fan-out workers of the process.
class ThreadPoolScheduler final : public Scheduler {
 public:
  // `threads` is at least 1. The threads are named `name` plus a number (at most 15 characters are shown by the
  // system).
  ThreadPoolScheduler(int threads, const std::string& name);

  // Same as Stop().
  ~ThreadPoolScheduler() override;

  // Lets the tasks that are running end, drops those that have not begun and all timers, and joins the threads.
  // Idempotent; not to be called from a task.
  void Stop();

  absl::Time Now() override;
  void Post(Task task) override;
  TimerId After(absl::Duration delay, Task task) override;
  bool Cancel(TimerId timer) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_THREAD_POOL_SCHEDULER_H_
