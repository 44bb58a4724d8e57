#include "client/backoff.h"

#include <gtest/gtest.h>

namespace meshgate::client {
namespace {

// Without growth and a bound a fleet would hammer a gateway that is down, or hardly ever come back.
TEST(BackoffTest, GrowsToItsBound) {
  BackoffOptions options;
  options.initial = absl::Seconds(1);
  options.max = absl::Seconds(10);
  options.multiplier = 2;
  options.jitter = 0;
  Backoff backoff(options, 1);
  for (int seconds : {1, 2, 4, 8, 10, 10}) EXPECT_EQ(backoff.Next(), absl::Seconds(seconds));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Seconds(1));
}

// Without jitter the readers of a gateway that restarts would all come back in the same instant.
TEST(BackoffTest, JitterSpreadsWithinItsRange) {
  BackoffOptions options;
  options.initial = absl::Seconds(1);
  options.max = absl::Seconds(1);
  options.jitter = 0.5;
  Backoff backoff(options, 1);
  absl::Duration least = absl::InfiniteDuration();
  absl::Duration most = absl::ZeroDuration();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration delay = backoff.Next();
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, absl::Milliseconds(500));
  EXPECT_LE(most, absl::Seconds(1));
  EXPECT_GT(most - least, absl::Milliseconds(400));
}

}  // namespace
}  // namespace meshgate::client
