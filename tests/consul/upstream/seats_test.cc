#include "consul/upstream/seats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "consul/base/thread_pool_scheduler.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;
using Rank = Seats::Rank;

class SeatsTest : public ::testing::Test {
 protected:
  uint64_t Wait(Rank rank, const std::string& name) {
    return seats_->Wait(rank, [this, name](Seats::Seat seat) {
      order_.push_back(name);
      held_.push_back(std::move(seat));
    });
  }

  ::meshgate::testing::ManualScheduler scheduler_;
  int limit_ = 4;
  std::shared_ptr<Seats> seats_ = std::make_shared<Seats>(
      &scheduler_, [this] { return limit_; }, [](int limit) { return limit / 4; });
  std::vector<Seats::Seat> held_;
  std::vector<std::string> order_;
};

// More than the limit is what makes Consul refuse connections.
TEST_F(SeatsTest, GivesNoMoreThanThereAre) {
  for (int i = 0; i < 4; ++i) {
    auto seat = seats_->TryTake(Rank::kShared);
    ASSERT_TRUE(seat.has_value());
    held_.push_back(*std::move(seat));
  }
  EXPECT_FALSE(seats_->TryTake(Rank::kShared).has_value());
  EXPECT_EQ(seats_->taken(), 4);
  held_.pop_back();
  EXPECT_EQ(seats_->taken(), 3);
  EXPECT_TRUE(seats_->TryTake(Rank::kShared).has_value());
  EXPECT_EQ(seats_->taken(), 3) << "one that nobody keeps goes back";
}

// Were the reserve for anybody, a change of plan would wait for the queries that it replaces.
TEST_F(SeatsTest, KeepsAReserveForThoseWhoServeMany) {
  for (int i = 0; i < 3; ++i) held_.push_back(*seats_->TryTake(Rank::kAlone));
  EXPECT_FALSE(seats_->TryTake(Rank::kAlone).has_value());
  EXPECT_TRUE(seats_->TryTake(Rank::kShared).has_value());
}

// Who waits longest is next, and nobody who comes later slips in; those who serve many go first.
TEST_F(SeatsTest, ServesInOrder) {
  for (int i = 0; i < 4; ++i) held_.push_back(*seats_->TryTake(Rank::kShared));
  Wait(Rank::kAlone, "a");
  Wait(Rank::kAlone, "b");
  const uint64_t gone = Wait(Rank::kShared, "gone");
  Wait(Rank::kShared, "c");
  EXPECT_EQ(seats_->waiting(), 4u);
  EXPECT_TRUE(seats_->Cancel(gone));
  EXPECT_FALSE(seats_->Cancel(gone));
  std::vector<Seats::Seat> first = std::move(held_);
  held_.clear();
  first.pop_back();
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre("c"));
  // One free seat is the reserve.
  first.pop_back();
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre("c"));
  EXPECT_FALSE(seats_->TryTake(Rank::kAlone).has_value());
  first.pop_back();
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre("c", "a"));
  EXPECT_FALSE(seats_->TryTake(Rank::kAlone).has_value()) << "overtakes b";
  first.pop_back();
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre("c", "a", "b"));
  EXPECT_EQ(seats_->waiting(), 0u);
}

// A limit that shrinks takes nobody's seat away, and one that grows is noticed with the next who asks.
TEST_F(SeatsTest, FollowsTheLimit) {
  for (int i = 0; i < 3; ++i) held_.push_back(*seats_->TryTake(Rank::kAlone));
  limit_ = 2;
  EXPECT_FALSE(seats_->TryTake(Rank::kShared).has_value());
  EXPECT_EQ(seats_->taken(), 3);
  Wait(Rank::kAlone, "a");
  held_.pop_back();
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre());
  limit_ = 100;
  EXPECT_TRUE(seats_->TryTake(Rank::kShared).has_value());
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre("a"));
}

// After Close() the scheduler may be gone.
TEST_F(SeatsTest, ServesNobodyOnceClosed) {
  for (int i = 0; i < 4; ++i) held_.push_back(*seats_->TryTake(Rank::kShared));
  Wait(Rank::kShared, "a");
  seats_->Close();
  held_.clear();
  Wait(Rank::kShared, "b");
  scheduler_.RunReady();
  EXPECT_THAT(order_, ElementsAre());
  EXPECT_EQ(seats_->waiting(), 0u);
}

// For ThreadSanitizer: seats are taken, waited for, given up and given back by many threads, and none is lost.
TEST(SeatsThreadsTest, NoneIsLost) {
  constexpr int kLimit = 8;
  ThreadPoolScheduler scheduler(2, "seats");
  auto seats = std::make_shared<Seats>(
      &scheduler, [] { return kLimit; }, [](int) { return 2; });
  std::atomic<int> held{0};
  std::atomic<int> seated{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Rank rank = t % 2 == 0 ? Rank::kShared : Rank::kAlone;
      for (int i = 0; i < 2000; ++i) {
        if (auto seat = seats->TryTake(rank)) {
          EXPECT_LE(++held, kLimit);
          --held;
          continue;
        }
        const uint64_t waiter = seats->Wait(rank, [&](Seats::Seat) {
          EXPECT_LE(++held, kLimit);
          ++seated;
          --held;
        });
        if (i % 3 == 0) seats->Cancel(waiter);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  while (seats->waiting() > 0 || seats->taken() > 0) std::this_thread::yield();
  scheduler.Stop();
}

}  // namespace
}  // namespace meshgate::consul
