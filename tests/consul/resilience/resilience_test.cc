#include <gtest/gtest.h>

#include <algorithm>

#include "consul/resilience/backoff.h"
#include "consul/resilience/token_bucket.h"

namespace meshgate::consul {
namespace {

// Were a delay to grow past its bound, a target would be silent for longer than documented after an outage.
TEST(BackoffTest, DoublesItsBoundUpToTheMaximum) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Backoff backoff({absl::Milliseconds(100), absl::Milliseconds(500)}, seed);
    for (int bound : {100, 200, 400, 500, 500}) {
      const absl::Duration delay = backoff.Next();
      EXPECT_GE(delay, absl::ZeroDuration());
      EXPECT_LE(delay, absl::Milliseconds(bound));
    }
  }
}

// Without jitter all targets that failed together would retry together.
TEST(BackoffTest, SpreadsDelaysOverTheWholeRange) {
  absl::Duration least = absl::InfiniteDuration();
  absl::Duration most = absl::ZeroDuration();
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const absl::Duration delay = Backoff({absl::Seconds(1), absl::Seconds(1)}, seed).Next();
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_LT(least, absl::Milliseconds(100));
  EXPECT_GT(most, absl::Milliseconds(900));
}

// A success must make the next failure cheap again.
TEST(BackoffTest, ResetStartsOver) {
  Backoff backoff({absl::Milliseconds(1), absl::Hours(1)}, 7);
  for (int i = 0; i < 20; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(1));
}

// More than the burst at once would let a target that returns for no reason spin.
TEST(TokenBucketTest, LetsTheBurstThroughAndThenOnePerInterval) {
  TokenBucket bucket(2, absl::Seconds(1));
  const absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(bucket.Take(now), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(now), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(now), absl::Seconds(1));
  EXPECT_EQ(bucket.Take(now), absl::Seconds(2));
}

// Unused time must not add up beyond the burst, nor may waiting be forgotten.
TEST(TokenBucketTest, FillsUpToTheBurstAndNoFurther) {
  TokenBucket bucket(2, absl::Seconds(1));
  const absl::Time start = absl::UnixEpoch();
  for (int i = 0; i < 3; ++i) bucket.Take(start);
  const absl::Time later = start + absl::Hours(1);
  EXPECT_EQ(bucket.Take(later), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(later), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(later), absl::Seconds(1));
}

}  // namespace
}  // namespace meshgate::consul
