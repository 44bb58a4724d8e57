// A process that is killed while it saves.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <random>
#include <string>

#include "absl/time/clock.h"
#include "consul/last_known/state_file.h"
#include "tests/consul/last_known/numbered_state.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul::last_known {
namespace {

constexpr int kKills = 40;

// Killed at whatever moment, what is found is a state that was saved, whole, and not older than what was found before:
// a torn state would be served as Consul's.
TEST(CrashTest, AKillLeavesTheOldStateOrTheNew) {
  const testing::TempDir directory;
  std::mt19937 random(4);
  std::map<int, uint64_t> seen;
  int moved = 0;
  // More kills where the machine is so slow that most come before the first save.
  for (int i = 0; i < kKills || (moved <= kKills && i < 20 * kKills); ++i) {
    {
      testing::ChildProcess::Options options;
      options.arguments = {"tests/consul/last_known/saver", directory.path()};
      testing::ChildProcess saver(options);
      ASSERT_EQ(saver.WaitForLine("saving"), "saving");
      // Not to wait for something: the moment of the kill is what varies.
      absl::SleepFor(absl::Microseconds(random() % 30000));
      saver.Signal(SIGKILL);
      auto ended = saver.Wait();
      ASSERT_TRUE(ended.has_value() && ended->signal == SIGKILL);
    }
    StateFileOptions options;
    options.directory = directory.path();
    auto file =
        StateFile::Open(options, ReadClocks(), [&](std::string_view what) { ADD_FAILURE() << i << ": " << what; });
    ASSERT_TRUE(file.ok()) << i << ": " << file.status();
    for (const Target& target : NumberedTargets()) {
      auto stored = (*file)->Load(target);
      ASSERT_TRUE(stored.ok()) << i << ": " << stored.status();
      uint64_t& before = seen[static_cast<int>(target.kind)];
      if (!stored->has_value()) {
        EXPECT_EQ(before, 0u) << "kill " << i << ": lost what was there";
        continue;
      }
      const uint64_t n = (*stored)->index;
      EXPECT_GE(n, before) << "kill " << i;
      EXPECT_TRUE(Diff(target.kind, *(*stored)->state, *NumberedState(target.kind, n)).empty()) << "kill " << i;
      moved += n > before ? 1 : 0;
      before = n;
    }
  }
  EXPECT_GT(moved, kKills) << "the kills have to meet saves";
}

}  // namespace
}  // namespace meshgate::consul::last_known
