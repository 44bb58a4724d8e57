#include "server/wire/event_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include "boost/asio/post.hpp"
#include "server/stream/outbox.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {
namespace {

class EventLoopTest : public ::testing::Test {
 protected:
  // Stops the loop, or the test.
  void MustStop() {
    auto stopped = std::async(std::launch::async, [this] { loop_.Stop(); });
    if (stopped.wait_for(std::chrono::seconds(30)) == std::future_status::ready) return;
    std::fputs("the loop does not stop\n", stderr);
    std::abort();
  }

  testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  EventLoop loop_{&clock_, &watches_, {}};
};

// Would break if what threads post were lost, run elsewhere, or run out of order.
TEST_F(EventLoopTest, RunsWhatIsPosted) {
  loop_.Start();
  constexpr int kThreads = 4, kTasks = 1'000;
  // Of the loop's thread alone.
  std::vector<int> last(kThreads, -1);
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      EXPECT_FALSE(loop_.OnThisThread());
      for (int i = 0; i < kTasks; ++i) {
        loop_.Post([&, t, i] {
          EXPECT_TRUE(loop_.OnThisThread());
          EXPECT_EQ(std::exchange(last[static_cast<size_t>(t)], i), i - 1);
          ++ran;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MustStop();
  EXPECT_EQ(ran, kThreads * kTasks);
}

// Would break if much that is posted at once, as one answer for many callers is, kept sockets from their turn; and if
// what is left then were lost, or done before what was posted with it.
TEST_F(EventLoopTest, MuchThatIsPostedIsDoneInBatches) {
  loop_.Start();
  std::promise<void> busy, all_posted;
  // Of the loop's thread alone.
  std::vector<int> order;
  loop_.Post([&] {
    busy.set_value();
    all_posted.get_future().wait();
  });
  busy.get_future().wait();
  constexpr int kTasks = 200, kSocket = -1;
  for (int i = 0; i < kTasks; ++i) {
    loop_.Post([&, i] {
      order.push_back(i);
      clock_.Advance(absl::Milliseconds(1));
      if (i == 0) boost::asio::post(loop_.io(), [&] { order.push_back(kSocket); });
    });
  }
  all_posted.set_value();
  MustStop();
  const auto socket = std::find(order.begin(), order.end(), kSocket);
  EXPECT_LT(socket - order.begin(), kTasks / 4);
  ASSERT_NE(socket, order.end());
  order.erase(socket);
  EXPECT_EQ(order.size(), static_cast<size_t>(kTasks));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

// Would break if a stop that comes while the loop is busy, and its sweep is due, never came to its end: the sweep's
// timer cannot be cancelled any more, and must not be set again.
TEST_F(EventLoopTest, StopsWhileASweepIsDue) {
  loop_.Start();
  std::promise<void> busy, stopping;
  loop_.Post([&] {
    busy.set_value();
    stopping.get_future().wait();
    // More than a sweep's interval.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  busy.get_future().wait();
  stopping.set_value();
  MustStop();
}

// Would break if a loop that was never started, or is stopped twice, waited for a thread that is not there.
TEST_F(EventLoopTest, StopsInAnyState) {
  loop_.Stop();
  loop_.Start();
  MustStop();
  MustStop();
  EXPECT_FALSE(loop_.running());
  bool ran = false;
  loop_.Post([&] { ran = true; });
  EXPECT_FALSE(ran);
}

// Under ThreadSanitizer: streams are woken by any thread and looked at by the loop's alone.
TEST_F(EventLoopTest, BringsItsThreadToOutboxes) {
  struct Listener final : Outbox::Listener {
    explicit Listener(EventLoop* l) : loop(l) {}
    void OnReady() override {
      EXPECT_TRUE(loop->OnThisThread());
      ++ready;
    }
    EventLoop* const loop;
    int ready = 0;
  } listener(&loop_);
  loop_.Start();
  auto outbox = std::make_shared<Outbox>(&loop_, &listener, &clock_, &watches_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) outbox->WakeSoon();
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Outboxes come after what is posted with them.
  std::promise<void> last;
  loop_.Post([&] { last.set_value(); });
  last.get_future().wait();
  loop_.Post([&] { outbox->Close(); });
  MustStop();
  EXPECT_GT(listener.ready, 0);
  outbox->WakeSoon();
}

// Would break if work that goes on kept sockets and other work from their turn, or was not gone on with.
TEST_F(EventLoopTest, WorkThatGoesOnTakesTurns) {
  struct Endless final : consul::Work {
    explicit Endless(testing::ManualScheduler* c) : clock(c) {}
    bool Run() override {
      clock->Advance(absl::Milliseconds(1));
      return !over;
    }
    testing::ManualScheduler* const clock;
    std::atomic<bool> over{false};
  };
  loop_.Start();
  const auto endless = std::make_shared<Endless>(&clock_);
  loop_.Schedule(endless);
  for (int i = 0; i < 3; ++i) {
    std::promise<void> turn;
    boost::asio::post(loop_.io(), [&] { turn.set_value(); });
    turn.get_future().wait();
  }
  endless->over = true;
  std::promise<void> after;
  loop_.Post([&] { after.set_value(); });
  after.get_future().wait();
  MustStop();
}

}  // namespace
}  // namespace meshgate::server::wire
