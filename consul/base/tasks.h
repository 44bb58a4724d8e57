// Work on a Scheduler that its owner can wait for.
#ifndef MESHGATE_CONSUL_BASE_TASKS_H_
#define MESHGATE_CONSUL_BASE_TASKS_H_

#include <utility>

#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"

namespace meshgate {

// Counts the tasks that are posted or set and have neither run nor been dropped, so that what they use can be destroyed
// once there are none. Thread-safe; outlives its tasks.
class Tasks {
 public:
  explicit Tasks(Scheduler* scheduler) : scheduler_(scheduler) {}

  Scheduler* scheduler() const { return scheduler_; }

  // Counts as one task from its creation to its destruction: for what will post a task later.
  class Hold {
   public:
    explicit Hold(Tasks* tasks) : tasks_(tasks) {
      MutexLock lock(tasks_->mu_);
      ++tasks_->count_;
    }
    Hold(Hold&& other) noexcept : tasks_(std::exchange(other.tasks_, nullptr)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (tasks_ == nullptr) return;
      MutexLock lock(tasks_->mu_);
      if (--tasks_->count_ == 0) tasks_->idle_.NotifyAll();
    }

   private:
    Tasks* tasks_;
  };

  void Post(Scheduler::Task task) { scheduler_->Post(Counted{Hold(this), std::move(task)}); }
  Scheduler::TimerId After(absl::Duration delay, Scheduler::Task task) {
    return scheduler_->After(delay, Counted{Hold(this), std::move(task)});
  }

  // Returns when there are none. Whoever calls it has seen to it that no new ones come.
  void WaitIdle() {
    MutexLock lock(mu_);
    while (count_ != 0) idle_.Wait(mu_);
  }

 private:
  // What the task captured goes before it stops to count.
  struct Counted {
    Hold hold;
    Scheduler::Task task;

    void operator()() { task(); }
  };

  Scheduler* const scheduler_;
  Mutex mu_;
  CondVar idle_;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
};

// A timer of an object that other threads may end at any time. Thread-safe.
class Alarm {
 public:
  explicit Alarm(Tasks* tasks) : tasks_(tasks) {}

  // Runs `task` after `delay` in place of what was set before; nothing happens after Close().
  void Set(absl::Duration delay, Scheduler::Task task) {
    uint64_t turn;
    {
      MutexLock lock(mu_);
      if (closed_) return;
      turn = ++turn_;
    }
    // Not under the lock: the scheduler has its own.
    Scheduler::TimerId timer = tasks_->After(delay, std::move(task));
    {
      MutexLock lock(mu_);
      if (!closed_ && turn == turn_) std::swap(timer, timer_);
    }
    if (timer != 0) tasks_->scheduler()->Cancel(timer);
  }

  // Cancels what is set, which may be running already.
  void Close() {
    Scheduler::TimerId timer;
    {
      MutexLock lock(mu_);
      closed_ = true;
      timer = std::exchange(timer_, 0);
    }
    if (timer != 0) tasks_->scheduler()->Cancel(timer);
  }

 private:
  Tasks* const tasks_;
  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t turn_ ABSL_GUARDED_BY(mu_) = 0;
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_TASKS_H_
