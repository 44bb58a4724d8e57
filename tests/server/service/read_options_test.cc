#include "server/service/read_options.h"

#include "gtest/gtest.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

v1::ReadOptions With(v1::Consistency consistency) {
  v1::ReadOptions options;
  options.set_consistency(consistency);
  return options;
}

// Each consistency must go where the API says: a cached read to Consul would overload it, a consistent one from memory
// would lie.
TEST(PlanReadTest, ChoosesTheWay) {
  EXPECT_TRUE(PlanRead(v1::ReadOptions(), Caller())->cached);
  EXPECT_TRUE(PlanRead(With(v1::CONSISTENCY_CACHED), Caller())->cached);
  EXPECT_FALSE(PlanRead(With(v1::CONSISTENCY_DEFAULT), Caller())->cached);
  EXPECT_EQ(PlanRead(With(v1::CONSISTENCY_DEFAULT), Caller())->mode, consul::ReadMode::kDefault);
  EXPECT_FALSE(PlanRead(With(v1::CONSISTENCY_CONSISTENT), Caller())->cached);
  EXPECT_EQ(PlanRead(With(v1::CONSISTENCY_CONSISTENT), Caller())->mode, consul::ReadMode::kConsistent);
  EXPECT_FALSE(PlanRead(With(v1::CONSISTENCY_STALE), Caller())->cached);
  EXPECT_EQ(PlanRead(With(v1::CONSISTENCY_STALE), Caller())->mode, consul::ReadMode::kStale);
}

// An absent max_age means any age, a max_age of zero none at all: the two must not be confused.
TEST(PlanReadTest, TellsNoBoundFromABoundOfZero) {
  v1::ReadOptions options;
  EXPECT_FALSE(PlanRead(options, Caller())->max_age.has_value());
  options.mutable_max_age();
  EXPECT_EQ(PlanRead(options, Caller())->max_age, absl::ZeroDuration());
}

// The rest must arrive too.
TEST(PlanReadTest, TakesIndexAndDatacenter) {
  v1::ReadOptions options;
  options.set_min_index(42);
  options.set_datacenter("dc-2_b");
  EXPECT_EQ(PlanRead(options, Caller())->min_index, 42u);
  EXPECT_EQ(PlanRead(options, Caller())->datacenter, "dc-2_b");
}

// A caller without a deadline, or with one of an hour, must not hold a call to Consul for as long.
TEST(CallTimeoutTest, IsTheDeadlineUpToACap) {
  Caller caller;
  EXPECT_EQ(CallTimeout(caller).value(), kMaxCallTime);
  caller.time_left = absl::Hours(1);
  EXPECT_EQ(CallTimeout(caller).value(), kMaxCallTime);
  caller.time_left = absl::Milliseconds(250);
  EXPECT_EQ(CallTimeout(caller).value(), absl::Milliseconds(250));
}

// When the deadline has passed nobody waits for an answer any more: Consul is spared the question.
TEST(CallTimeoutTest, FailsWhenNothingIsLeft) {
  for (absl::Duration left : {absl::ZeroDuration(), absl::Seconds(-1), -absl::InfiniteDuration()}) {
    Caller caller;
    caller.time_left = left;
    EXPECT_EQ(CallTimeout(caller).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(PlanRead(v1::ReadOptions(), caller).status().code(), absl::StatusCode::kDeadlineExceeded);
  }
}

}  // namespace
}  // namespace meshgate::server
