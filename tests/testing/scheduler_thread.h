#ifndef MESHGATE_TESTS_TESTING_SCHEDULER_THREAD_H_
#define MESHGATE_TESTS_TESTING_SCHEDULER_THREAD_H_

#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "consul/base/scheduler.h"
#include "consul/watch/reader_thread.h"

namespace meshgate::testing {

// The thread of a Scheduler that has just one, as a home for readers. The scheduler outlives it.
class SchedulerThread final : public consul::ReaderThread {
 public:
  explicit SchedulerThread(Scheduler* scheduler) : scheduler_(scheduler) {}

  void Schedule(std::shared_ptr<consul::Work> work) override {
    scheduler_->Post([work = std::move(work)] {
      while (work->Run()) {
      }
    });
  }

  // Does `task` there, and returns when it is done. Not for a ManualScheduler, whose thread is the test's.
  void Do(const std::function<void()>& task) {
    std::promise<void> done;
    scheduler_->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  Scheduler* const scheduler_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_SCHEDULER_THREAD_H_
