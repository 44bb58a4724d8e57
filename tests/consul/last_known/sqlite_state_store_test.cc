#include "consul/last_known/sqlite_state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/thread_pool_scheduler.h"
#include "tests/consul/last_known/numbered_state.h"
#include "tests/consul/last_known/recording_reporter.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {
namespace {

namespace fs = std::filesystem;
using ::meshgate::testing::ManualScheduler;
using Operation = StateStoreReporter::Operation;

class SqliteStateStoreTest : public ::testing::Test {
 protected:
  SqliteStateStoreTest() { options_.file.directory = directory_.path() + "/last-known"; }

  std::unique_ptr<SqliteStateStore> Make(RecordingReporter& reporter) {
    return std::make_unique<SqliteStateStore>(options_, &scheduler_, &reporter);
  }
  std::unique_ptr<SqliteStateStore> Make() { return Make(reporter_); }

  static Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }
  static SharedState Value(std::string value) {
    auto state = std::make_shared<State>();
    state->entries.push_back({"k", std::move(value), 0, 1, 2});
    return state;
  }

  static std::optional<StoredState> Load(SqliteStateStore& store, const Target& target) {
    auto promise = std::make_shared<std::promise<std::optional<StoredState>>>();
    store.Load(target, [promise](std::optional<StoredState> stored) { promise->set_value(std::move(stored)); });
    return promise->get_future().get();
  }
  static std::string LoadValue(SqliteStateStore& store, const Target& target) {
    auto stored = Load(store, target);
    return stored.has_value() ? stored->state->entries.at(0).value : "nothing";
  }

  testing::TempDir directory_;
  StateStoreOptions options_;
  RecordingReporter reporter_;
  ThreadPoolScheduler scheduler_{2, "store"};
};

// The promise of the whole: what one process saves the next one loads, also what was saved just before the end.
TEST_F(SqliteStateStoreTest, KeepsStatesOverARestart) {
  {
    auto store = Make();
    EXPECT_TRUE(reporter_.WaitForCondition(true));
    EXPECT_FALSE(store->HasStates());
    for (const Target& target : NumberedTargets()) {
      store->Save(target, {NumberedState(target.kind, 9), 9, scheduler_.Now() - absl::Minutes(3)});
    }
  }
  RecordingReporter reporter;
  auto store = Make(reporter);
  EXPECT_TRUE(reporter.WaitForTargets(4));
  EXPECT_TRUE(store->HasStates());
  for (const Target& target : NumberedTargets()) {
    auto stored = Load(*store, target);
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(stored->index, 9u);
    EXPECT_TRUE(Diff(target.kind, *stored->state, *NumberedState(target.kind, 9)).empty());
    const absl::Duration age = scheduler_.Now() - stored->confirmed;
    EXPECT_GE(age, absl::Minutes(3));
    EXPECT_LT(age, absl::Minutes(8));
  }
  EXPECT_FALSE(Load(*store, Key("other")).has_value());
  EXPECT_EQ(reporter.conditions().size(), 1u);
}

// Ages come from clocks that survive the process, not from this one's.
TEST_F(SqliteStateStoreTest, TellsTheTrueAge) {
  last_known::Stamp now{absl::FromUnixSeconds(1700000000), "run", absl::Hours(100)};
  options_.clock = [&now] { return now; };
  { Make()->Save(Key("k"), {Value("v"), 5, scheduler_.Now()}); }
  now.wall += absl::Hours(10);
  now.since_boot += absl::Hours(2);
  auto stored = Load(*Make(), Key("k"));
  ASSERT_TRUE(stored.has_value());
  EXPECT_LT(absl::AbsDuration(scheduler_.Now() - stored->confirmed - absl::Hours(2)), absl::Minutes(1));
}

// A confirmed state must not look as old as its last change: also a crash loses no more than confirm_every.
TEST_F(SqliteStateStoreTest, KeepsConfirmations) {
  last_known::Stamp now{absl::FromUnixSeconds(1700000000), "run", absl::Hours(100)};
  options_.clock = [&now] { return now; };
  options_.delay = absl::ZeroDuration();
  options_.confirm_every = absl::ZeroDuration();
  const SharedState state = Value("v");
  const absl::Time then = scheduler_.Now();
  auto store = Make();
  store->Save(Key("k"), {state, 5, then - absl::Hours(5)});
  EXPECT_TRUE(reporter_.WaitForTargets(1));
  const int64_t batches = reporter_.batches();
  store->Save(Key("k"), {state, 6, then - absl::Hours(1)});
  EXPECT_TRUE(reporter_.WaitForBatches(batches + 1));
  // As after a crash: a copy of what is on disk now.
  fs::copy(options_.file.directory, directory_.path() + "/copy");
  StateStoreOptions options = options_;
  options.file.directory = directory_.path() + "/copy";
  RecordingReporter reporter;
  SqliteStateStore copy(options, &scheduler_, &reporter);
  auto stored = Load(copy, Key("k"));
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->index, 6u);
  EXPECT_LT(absl::AbsDuration(scheduler_.Now() - stored->confirmed - absl::Hours(1)), absl::Minutes(5));
}

// A target that is dropped and watched again gets what it had, whether or not that is on disk yet.
TEST_F(SqliteStateStoreTest, LoadsWhatWasJustSaved) {
  auto store = Make();
  const SharedState state = Value("v");
  store->Save(Key("k"), {state, 5, scheduler_.Now()});
  auto stored = Load(*store, Key("k"));
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->state, state) << "the hub's own object, not a copy";
}

// Without permission, or with a file in the way, the gateway has to run as if there were no store, say so once, and
// keep states as soon as it can.
TEST_F(SqliteStateStoreTest, GoesOnWithoutADirectory) {
  options_.delay = absl::Milliseconds(1);
  std::ofstream(options_.file.directory) << "in the way";
  auto store = Make();
  EXPECT_TRUE(reporter_.WaitForCondition(false));
  EXPECT_FALSE(store->HasStates());
  EXPECT_FALSE(Load(*store, Key("k")).has_value());
  const SharedState state = Value("v");
  store->Save(Key("k"), {state, 5, scheduler_.Now()});
  EXPECT_TRUE(reporter_.WaitForErrors(Operation::kOpen, 4));
  EXPECT_EQ(reporter_.conditions().size(), 1u) << "said once";
  fs::remove(options_.file.directory);
  EXPECT_TRUE(reporter_.WaitForCondition(true));
  EXPECT_TRUE(reporter_.WaitForTargets(1));
  store->Close();
  RecordingReporter reporter;
  EXPECT_EQ(LoadValue(*Make(reporter), Key("k")), "v");
}

// What is no longer a database is set aside at the start, and said clearly.
TEST_F(SqliteStateStoreTest, SetsADamagedFileAside) {
  { Make()->Save(Key("k"), {Value("v"), 5, scheduler_.Now()}); }
  std::ofstream(options_.file.directory + "/states.db", std::ios::trunc) << std::string(10000, 'x');
  RecordingReporter reporter;
  auto store = Make(reporter);
  EXPECT_TRUE(reporter.WaitForCondition(true));
  EXPECT_FALSE(Load(*store, Key("k")).has_value());
  EXPECT_EQ(reporter.errors(Operation::kOpen), 1);
  ASSERT_EQ(reporter.damage().size(), 1u);
  EXPECT_THAT(reporter.damage()[0], ::testing::HasSubstr("states.db.damaged-"));
  const SharedState state = Value("w");
  store->Save(Key("k"), {state, 6, scheduler_.Now()});
  EXPECT_TRUE(reporter.WaitForTargets(1));
}

// Damage that is met later, too: and what the hub still has is in the new file.
TEST_F(SqliteStateStoreTest, BeginsAnewWithWhatTheHubHas) {
  options_.delay = absl::Milliseconds(1);
  const Target large{TargetKind::kPrefix, "p/", "", ""};
  {
    auto state = std::make_shared<State>();
    for (int i = 1000; i < 2000; ++i) state->entries.push_back({std::to_string(i), std::string(100, 'v'), 0, 1, 2});
    auto store = Make();
    store->Save(large, {state, 5, scheduler_.Now()});
    store->Save(Key("other"), {Value("lost"), 5, scheduler_.Now()});
  }
  // The first page tells what is in the file; everything behind it is gone.
  const std::string path = options_.file.directory + "/states.db";
  std::string bytes;
  {
    std::ifstream in(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const size_t half = bytes.size() / 8 / 4096 * 4096;
  ASSERT_GT(half, 4096u);
  bytes.replace(half, std::string::npos, bytes.size() - half, '\x7f');
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;

  RecordingReporter reporter;
  auto store = Make(reporter);
  EXPECT_TRUE(reporter.WaitForCondition(true));
  const SharedState state = Value("v");
  store->Save(Key("k"), {state, 5, scheduler_.Now()});
  EXPECT_FALSE(Load(*store, large).has_value());
  EXPECT_FALSE(reporter.damage().empty());
  store->Close();
  RecordingReporter last;
  EXPECT_EQ(LoadValue(*Make(last), Key("k")), "v");
}

// One state that is too large is counted and leaves the rest alone: it is not a failure of the disk.
TEST_F(SqliteStateStoreTest, AStateThatIsTooLargeIsNoFailureOfTheDisk) {
  options_.delay = absl::Milliseconds(1);
  options_.file.max_bytes = 50000;
  const SharedState large = Value(std::string(60000, 'x')), small = Value("v");
  auto store = Make();
  store->Save(Key("large"), {large, 5, scheduler_.Now()});
  store->Save(Key("small"), {small, 5, scheduler_.Now()});
  EXPECT_TRUE(reporter_.WaitForErrors(Operation::kSave, 1));
  EXPECT_TRUE(reporter_.WaitForTargets(1));
  store->Close();
  EXPECT_EQ(reporter_.errors(Operation::kSave), 1);
  ASSERT_EQ(reporter_.conditions().size(), 1u);
  EXPECT_TRUE(reporter_.conditions()[0].ok());
}

// A second process must not wait for the first, nor touch its file; it has a store when the first is gone.
TEST_F(SqliteStateStoreTest, TakesOverFromAProcessThatEnds) {
  options_.delay = absl::Milliseconds(1);
  const SharedState state = Value("v");
  auto first = Make();
  first->Save(Key("k"), {state, 5, scheduler_.Now()});
  EXPECT_TRUE(reporter_.WaitForTargets(1));
  RecordingReporter reporter;
  auto second = Make(reporter);
  EXPECT_TRUE(reporter.WaitForCondition(false));
  EXPECT_TRUE(absl::IsFailedPrecondition(reporter.conditions()[0]));
  first.reset();
  EXPECT_TRUE(reporter.WaitForCondition(true));
  EXPECT_EQ(LoadValue(*second, Key("k")), "v");
}

// A closed store answers and stays quiet: subscriptions outlive it for a moment while a gateway drains.
TEST_F(SqliteStateStoreTest, IsQuietAfterClose) {
  auto store = Make();
  store->Save(Key("k"), {Value("v"), 5, scheduler_.Now()});
  store->Close();
  store->Save(Key("late"), {Value("v"), 5, scheduler_.Now()});
  EXPECT_FALSE(Load(*store, Key("k")).has_value());
  store->Close();
  store.reset();
  RecordingReporter reporter;
  auto next = Make(reporter);
  EXPECT_EQ(LoadValue(*next, Key("k")), "v");
  EXPECT_FALSE(Load(*next, Key("late")).has_value());
}

// Changes that come faster than `delay` cost one write, and nothing before it is due: neither a disk nor a processor
// may be kept busy by a key that changes all the time.
TEST_F(SqliteStateStoreTest, WritesBehindAndOnce) {
  ManualScheduler scheduler;
  SqliteStateStore store(options_, &scheduler, &reporter_);
  ASSERT_TRUE(reporter_.WaitForBatches(1));
  std::vector<std::weak_ptr<const State>> versions;
  SharedState latest;
  for (uint64_t i = 1; i <= 1000; ++i) {
    latest = Value(std::to_string(i));
    versions.push_back(latest);
    store.Save(Key("k"), {latest, i, scheduler.Now()});
  }
  for (size_t i = 0; i + 1 < versions.size(); ++i) EXPECT_TRUE(versions[i].expired());
  EXPECT_EQ(scheduler.pending_timers(), 1u);
  scheduler.Advance(options_.delay - absl::Milliseconds(1));
  EXPECT_EQ(reporter_.batches(), 1);
  scheduler.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(reporter_.WaitForTargets(1));
  EXPECT_EQ(reporter_.batches(), 2);
  // Confirmations wait for longer.
  for (int i = 0; i < 100; ++i) store.Save(Key("k"), {latest, 1000, scheduler.Now()});
  scheduler.Advance(options_.confirm_every - absl::Milliseconds(1));
  EXPECT_EQ(reporter_.batches(), 2);
  scheduler.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(reporter_.WaitForBatches(3));
}

}  // namespace
}  // namespace meshgate::consul
