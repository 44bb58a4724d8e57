#ifndef MESHGATE_TESTS_TESTING_MANUAL_SCHEDULER_H_
#define MESHGATE_TESTS_TESTING_MANUAL_SCHEDULER_H_

#include <deque>
#include <map>
#include <utility>

#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"

namespace meshgate::testing {

// A Scheduler whose clock and tasks move only when the test says so. Posting is thread-safe; running is for one thread.
class ManualScheduler final : public Scheduler {
 public:
  absl::Time Now() override {
    MutexLock lock(mu_);
    return now_;
  }

  void Post(Task task) override {
    MutexLock lock(mu_);
    ready_.push_back(std::move(task));
  }

  TimerId After(absl::Duration delay, Task task) override {
    MutexLock lock(mu_);
    const TimerId id = next_id_++;
    timers_.emplace(std::make_pair(now_ + std::max(delay, absl::ZeroDuration()), id), std::move(task));
    return id;
  }

  bool Cancel(TimerId timer) override {
    Task dropped;
    MutexLock lock(mu_);
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->first.second != timer) continue;
      dropped = std::move(it->second);
      timers_.erase(it);
      return true;
    }
    return false;
  }

  // Runs what was posted, and what that posts, until nothing is left. Returns how many tasks ran.
  int RunReady() {
    int ran = 0;
    while (true) {
      Task task;
      {
        MutexLock lock(mu_);
        if (ready_.empty()) return ran;
        task = std::move(ready_.front());
        ready_.pop_front();
      }
      task();
      ++ran;
    }
  }

  // Runs what is ready, then lets time pass and runs each timer at its time, with what it posts.
  void Advance(absl::Duration by) {
    RunReady();
    absl::Time end;
    {
      MutexLock lock(mu_);
      end = now_ + by;
    }
    while (true) {
      Task task;
      {
        MutexLock lock(mu_);
        if (timers_.empty() || timers_.begin()->first.first > end) {
          now_ = end;
          break;
        }
        now_ = timers_.begin()->first.first;
        task = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
      }
      task();
      RunReady();
    }
  }

  size_t pending_timers() {
    MutexLock lock(mu_);
    return timers_.size();
  }

 private:
  Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::UnixEpoch() + absl::Hours(1);
  TimerId next_id_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<Task> ready_ ABSL_GUARDED_BY(mu_);
  // By (time, id): equal times fire in the order they were set.
  std::map<std::pair<absl::Time, TimerId>, Task> timers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_MANUAL_SCHEDULER_H_
