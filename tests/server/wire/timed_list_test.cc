#include "server/wire/timed_list.h"

#include <gtest/gtest.h>

#include <memory>

namespace meshgate::server::wire {
namespace {

struct Thing final : TimedList::Entry {};

const absl::Time kStart = absl::UnixEpoch();

// Would break if the sweep looked at the wrong end, or at what has left.
TEST(TimedListTest, OldestFirst) {
  TimedList list;
  Thing a, b, c;
  EXPECT_EQ(list.oldest(), nullptr);
  list.Add(a, kStart);
  list.Add(b, kStart + absl::Seconds(1));
  list.Add(c, kStart + absl::Seconds(2));
  EXPECT_EQ(list.oldest(), &a);
  EXPECT_EQ(a.since(), kStart);
  list.Remove(b);
  EXPECT_FALSE(b.listed());
  list.Remove(a);
  EXPECT_EQ(list.oldest(), &c);
  list.Remove(c);
  list.Remove(c);
  EXPECT_EQ(list.oldest(), nullptr);
}

// Would break if a stream with a new message in flight kept the time of its last one.
TEST(TimedListTest, AddingAgainMovesItToTheEnd) {
  TimedList list;
  Thing a, b;
  list.Add(a, kStart);
  list.Add(b, kStart + absl::Seconds(1));
  list.Add(a, kStart + absl::Seconds(2));
  EXPECT_EQ(list.oldest(), &b);
  EXPECT_EQ(a.since(), kStart + absl::Seconds(2));
  list.Remove(b);
  EXPECT_EQ(list.oldest(), &a);
}

// Would break if a stream that goes, or a loop, left the other with a pointer to it.
TEST(TimedListTest, EitherMayGoFirst) {
  Thing stays;
  {
    TimedList list;
    auto gone = std::make_unique<Thing>();
    list.Add(*gone, kStart);
    list.Add(stays, kStart);
    gone.reset();
    EXPECT_EQ(list.oldest(), &stays);
    EXPECT_TRUE(stays.listed());
  }
  EXPECT_FALSE(stays.listed());
}

}  // namespace
}  // namespace meshgate::server::wire
