// Disks that take no more: the gateway goes on from memory, and keeps states again when there is room.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "consul/base/thread_pool_scheduler.h"
#include "consul/last_known/sqlite_state_store.h"
#include "tests/consul/last_known/recording_reporter.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {
namespace {

namespace fs = std::filesystem;
using Operation = StateStoreReporter::Operation;

constexpr char kSmallDisk[] = "MESHGATE_TEST_SMALL_DISK";
// How the command that mounts says that it may not.
constexpr int kNotAllowed = 77;

SharedState Value(char fill, size_t bytes) {
  auto state = std::make_shared<State>();
  state->entries.push_back({"k", std::string(bytes, fill), 0, 1, static_cast<uint64_t>(fill)});
  return state;
}

Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }

std::optional<StoredState> Load(SqliteStateStore& store, const Target& target) {
  auto promise = std::make_shared<std::promise<std::optional<StoredState>>>();
  store.Load(target, [promise](std::optional<StoredState> stored) { promise->set_value(std::move(stored)); });
  return promise->get_future().get();
}

// Saves until `directory` takes no more, lets `make_room` make some, and looks at what is there after a restart.
template <typename MakeRoom>
void FillAndRecover(const std::string& directory, MakeRoom make_room) {
  StateStoreOptions options;
  options.file.directory = directory + "/last-known";
  options.delay = absl::Milliseconds(1);
  ThreadPoolScheduler scheduler(1, "store");
  RecordingReporter reporter, after;
  auto store = std::make_unique<SqliteStateStore>(options, &scheduler, &reporter);
  const SharedState before = Value('a', 1000), large = Value('b', 3000000);
  store->Save(Key("first"), {before, 1, scheduler.Now()});
  ASSERT_TRUE(reporter.WaitForTargets(1));
  store->Save(Key("large"), {large, 2, scheduler.Now()});
  ASSERT_TRUE(reporter.WaitForErrors(Operation::kSave, 3)) << "tried again and again";
  ASSERT_TRUE(reporter.WaitForCondition(false));
  EXPECT_TRUE(store->HasStates());
  // From memory where the hub has it, and from the disk, which can still be read.
  EXPECT_EQ(Load(*store, Key("large"))->state, large);
  EXPECT_TRUE(Load(*store, Key("first")).has_value());
  EXPECT_EQ(reporter.conditions().size(), 2u) << "said once";

  make_room();
  ASSERT_TRUE(reporter.WaitForCondition(true));
  ASSERT_TRUE(reporter.WaitForTargets(2));
  store.reset();
  EXPECT_TRUE(reporter.damage().empty());
  store = std::make_unique<SqliteStateStore>(options, &scheduler, &after);
  ASSERT_TRUE(Load(*store, Key("first")).has_value());
  ASSERT_TRUE(Load(*store, Key("large")).has_value());
  EXPECT_EQ(Load(*store, Key("large"))->state->entries[0].value, large->entries[0].value);
}

// A file that may not grow, as under a quota.
TEST(FullDiskTest, UnderALimit) {
  const testing::TempDir directory;
  // The write fails instead of ending the process.
  signal(SIGXFSZ, SIG_IGN);
  rlimit original;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &original), 0);
  const rlimit small{1000000, original.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  FillAndRecover(directory.path(), [&] { setrlimit(RLIMIT_FSIZE, &original); });
  setrlimit(RLIMIT_FSIZE, &original);
}

// A file system that is full, in a mount namespace of its own: this test runs itself there.
TEST(FullDiskTest, OnASmallFileSystem) {
  if (const char* disk = getenv(kSmallDisk)) {
    // 16 MB, of which something else has taken 14.
    const std::string filler = std::string(disk) + "/filler";
    std::ofstream(filler) << std::string(14 << 20, 'x');
    FillAndRecover(disk, [&] { fs::remove(filler); });
    return;
  }
  const testing::TempDir directory;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
  ASSERT_GT(length, 0);
  testing::ChildProcess::Options options;
  options.arguments = {"unshare",
                       "--user",
                       "--map-root-user",
                       "--mount",
                       "sh",
                       "-c",
                       "mount -t tmpfs -o size=16m tmpfs \"$1\" || exit 77\n"
                       "MESHGATE_TEST_SMALL_DISK=\"$1\" exec \"$2\" --gtest_filter=FullDiskTest.OnASmallFileSystem",
                       "sh",
                       directory.path(),
                       std::string(self, static_cast<size_t>(length))};
  testing::ChildProcess child(options);
  const std::string output = child.ReadAll(absl::Minutes(2));
  const auto ended = child.Wait();
  ASSERT_TRUE(ended.has_value() && ended->code.has_value()) << output;
  if (*ended->code == kNotAllowed || (*ended->code == 1 && output.empty())) {
    GTEST_SKIP() << "may not mount a file system here";
  }
  EXPECT_EQ(*ended->code, 0) << output;
}

}  // namespace
}  // namespace meshgate::consul
