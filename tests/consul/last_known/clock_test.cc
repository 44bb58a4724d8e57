#include "consul/last_known/clock.h"

#include <gtest/gtest.h>

namespace meshgate::consul::last_known {
namespace {

const absl::Time kNoon = absl::FromUnixSeconds(1700000000);

Stamp At(absl::Time wall, std::string boot_id, absl::Duration since_boot) {
  return {wall, std::move(boot_id), since_boot};
}

// Within one run of the system no jump of the wall clock may make a state younger or older than it is.
TEST(AgeOfTest, TheSystemsOwnClockTellsWithinARun) {
  const Stamp stored = At(kNoon, "run", absl::Hours(5));
  EXPECT_EQ(AgeOf(stored, At(kNoon + absl::Seconds(7), "run", absl::Hours(5) + absl::Seconds(7))), absl::Seconds(7));
  EXPECT_EQ(AgeOf(stored, At(kNoon - absl::Hours(24), "run", absl::Hours(5) + absl::Seconds(7))), absl::Seconds(7));
  EXPECT_EQ(AgeOf(stored, At(kNoon + absl::Hours(24 * 365), "run", absl::Hours(6))), absl::Hours(1));
}

// After a reboot the wall clock is what is left; a small step back is a correction of it.
TEST(AgeOfTest, TheWallClockTellsAcrossAReboot) {
  const Stamp stored = At(kNoon, "run", absl::Hours(5));
  EXPECT_EQ(AgeOf(stored, At(kNoon + absl::Minutes(3), "other", absl::Seconds(40))), absl::Minutes(3));
  EXPECT_EQ(AgeOf(stored, At(kNoon - absl::Seconds(59), "other", absl::Seconds(40))), absl::ZeroDuration());
  // A system that can't tell its runs apart.
  EXPECT_EQ(AgeOf(At(kNoon, "", absl::Hours(5)), At(kNoon + absl::Minutes(3), "", absl::Hours(6))), absl::Minutes(3));
}

// A machine without a battery starts in 1970: what it has stored must not pass for fresh.
TEST(AgeOfTest, AClockThatWentBackFarSaysNothing) {
  const Stamp stored = At(kNoon, "run", absl::Hours(5));
  EXPECT_EQ(AgeOf(stored, At(absl::UnixEpoch() + absl::Seconds(30), "other", absl::Seconds(30))), kUnknownAge);
  EXPECT_EQ(AgeOf(stored, At(kNoon - absl::Seconds(61), "other", absl::Seconds(30))), kUnknownAge);
}

// The real clocks move together, and name the run.
TEST(ReadClocksTest, ReadsThisSystem) {
  const Stamp first = ReadClocks();
  const Stamp second = ReadClocks();
  EXPECT_EQ(first.boot_id, second.boot_id);
  EXPECT_FALSE(first.boot_id.empty());
  EXPECT_GE(second.since_boot, first.since_boot);
  EXPECT_LT(AgeOf(first, second), absl::Minutes(1));
}

}  // namespace
}  // namespace meshgate::consul::last_known
