#ifndef MESHGATE_SERVER_HOLD_TURNS_H_
#define MESHGATE_SERVER_HOLD_TURNS_H_

#include <deque>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "consul/base/mutex.h"

namespace meshgate::server {

// Lets a few things go on at a time, the others wait in the order they came. Thread-safe.
class Turns {
 public:
  // Takes the turn: starts what ends with a Done(), or returns false where there is nothing to do any more.
  using Task = absl::AnyInvocable<bool()>;

  explicit Turns(int at_a_time) : free_(at_a_time) {}

  // Runs `task` when it is its turn, possibly inside this call or inside somebody else's, so no lock may be held here.
  void Ask(Task task) {
    {
      MutexLock lock(mu_);
      waiting_.push_back(std::move(task));
    }
    Pump();
  }

  // A turn is over.
  void Done() {
    {
      MutexLock lock(mu_);
      ++free_;
    }
    Pump();
  }

 private:
  // One thread at a time is inside: tasks neither overtake each other nor nest.
  void Pump() {
    bool unused = false;
    for (bool first = true;; first = false) {
      Task task;
      {
        MutexLock lock(mu_);
        if (first && pumping_) return;
        if (unused) ++free_;
        pumping_ = free_ > 0 && !waiting_.empty();
        if (!pumping_) return;
        --free_;
        task = std::move(waiting_.front());
        waiting_.pop_front();
      }
      unused = !task();
    }
  }

  Mutex mu_;
  int free_ ABSL_GUARDED_BY(mu_);
  bool pumping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Task> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_TURNS_H_
