#include "consul/base/thread_pool_scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace meshgate {
namespace {

// A task that ran inside Post() would take locks of its poster.
TEST(ThreadPoolSchedulerTest, RunsTasksElsewhere) {
  ThreadPoolScheduler scheduler(2, "test");
  std::promise<std::thread::id> ran;
  scheduler.Post([&] { ran.set_value(std::this_thread::get_id()); });
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

// A timer that fires early would break every deadline and pace.
TEST(ThreadPoolSchedulerTest, RunsTimersNotBeforeTheirTime) {
  ThreadPoolScheduler scheduler(1, "test");
  const absl::Time start = scheduler.Now();
  std::promise<absl::Time> ran;
  scheduler.After(absl::Milliseconds(30), [&] { ran.set_value(scheduler.Now()); });
  EXPECT_GE(ran.get_future().get() - start, absl::Milliseconds(30));
}

// Exactly one of firing and cancelling may win, whichever threads they come from.
TEST(ThreadPoolSchedulerTest, ATimerFiresOrIsCancelledNeverBoth) {
  std::atomic<int> outcomes{0};
  constexpr int kTimers = 2000;
  ThreadPoolScheduler scheduler(2, "test");
  std::promise<void> settled;
  auto count = [&] {
    if (++outcomes == kTimers) settled.set_value();
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTimers / 2; ++i) {
        auto id = scheduler.After(absl::Microseconds(i % 50), count);
        if (scheduler.Cancel(id)) count();
      }
    });
  }
  for (auto& t : threads) t.join();
  settled.get_future().get();
  scheduler.Stop();
  EXPECT_EQ(outcomes, kTimers);
}

// Stop() has to return with timers far in the future and tasks in the queue; none of them may run, and what they hold
// has to be let go of before whatever it refers to is gone.
TEST(ThreadPoolSchedulerTest, StopDropsWhatHasNotBegun) {
  auto held = std::make_shared<int>(0);
  ThreadPoolScheduler scheduler(1, "test");
  std::promise<void> begun;
  std::promise<void> go_on;
  scheduler.Post([&] {
    begun.set_value();
    go_on.get_future().wait();
  });
  begun.get_future().wait();
  for (int i = 0; i < 100; ++i) scheduler.Post([held] {});
  scheduler.After(absl::Hours(1), [held] {});
  std::thread stopper([&] { scheduler.Stop(); });
  // The one thread is busy, and Stop() waits for it; only then may the rest be dropped.
  go_on.set_value();
  stopper.join();
  scheduler.Stop();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace meshgate
