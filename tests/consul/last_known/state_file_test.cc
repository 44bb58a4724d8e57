#include "consul/last_known/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/consul/last_known/numbered_state.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul::last_known {
namespace {

namespace fs = std::filesystem;

const absl::Time kNoon = absl::FromUnixSeconds(1700000000);

Stamp At(absl::Duration since_noon) { return {kNoon + since_noon, "run", absl::Hours(100) + since_noon}; }

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteAll(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

bool Equal(TargetKind kind, const State& a, const State& b) { return Diff(kind, a, b).empty(); }

class StateFileTest : public ::testing::Test {
 protected:
  // Its parent is missing, too.
  StateFileTest() { options_.directory = directory_.path() + "/made/last-known"; }

  absl::StatusOr<std::unique_ptr<StateFile>> Open(absl::Duration since_noon = absl::ZeroDuration()) {
    return StateFile::Open(options_, At(since_noon), [this](std::string_view what) { damage_.emplace_back(what); });
  }
  std::unique_ptr<StateFile> MustOpen(absl::Duration since_noon = absl::ZeroDuration()) {
    auto file = Open(since_noon);
    if (!file.ok()) ADD_FAILURE() << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }

  void MustSave(StateFile& file, const Target& target, uint64_t n, absl::Duration since_noon = absl::ZeroDuration()) {
    const absl::Status saved = file.Save(target, *NumberedState(target.kind, n), n, At(since_noon));
    EXPECT_TRUE(saved.ok()) << saved;
  }
  // The number of the state that is stored; 0: none. Fails the test where it is not whole.
  uint64_t MustLoad(StateFile& file, const Target& target) {
    auto stored = file.Load(target);
    EXPECT_TRUE(stored.ok()) << stored.status();
    if (!stored.ok() || !stored->has_value()) return 0;
    EXPECT_TRUE(Equal(target.kind, *(*stored)->state, *NumberedState(target.kind, (*stored)->index)));
    return (*stored)->index;
  }

  fs::path path() const { return fs::path(options_.directory) / "states.db"; }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(options_.directory)) names.push_back(entry.path().filename());
    return names;
  }

  static Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }
  static SharedState Value(const std::string& key, size_t bytes) {
    auto state = std::make_shared<State>();
    state->entries.push_back({key, std::string(bytes, 'x'), 0, 1, 2});
    return state;
  }

  testing::TempDir directory_;
  StateFileOptions options_;
  std::vector<std::string> damage_;
};

// What is loaded after a restart must be what was saved, in every field of every kind.
TEST_F(StateFileTest, KeepsEveryKindOverARestart) {
  {
    auto file = MustOpen();
    for (const Target& target : NumberedTargets()) {
      for (uint64_t n : {1, 5, 9, 3}) MustSave(*file, target, n, absl::Seconds(n));
    }
  }
  auto file = MustOpen();
  EXPECT_EQ(file->targets(), NumberedTargets().size());
  for (const Target& target : NumberedTargets()) {
    EXPECT_EQ(MustLoad(*file, target), 3u);
    auto stored = file->Load(target);
    EXPECT_EQ((*stored)->confirmed.wall, kNoon + absl::Seconds(3));
    EXPECT_EQ((*stored)->confirmed.boot_id, "run");
    EXPECT_EQ((*stored)->confirmed.since_boot, absl::Hours(100) + absl::Seconds(3));
  }
  EXPECT_TRUE(damage_.empty());
  // A target that differs in one field is another one.
  Target other = NumberedTargets()[1];
  other.datacenter = "";
  EXPECT_EQ(MustLoad(*file, other), 0u);
}

// An empty state ("there is no such key") is a state, not the lack of one.
TEST_F(StateFileTest, KeepsTheEmptyState) {
  auto file = MustOpen();
  ASSERT_TRUE(file->Save(Key("a"), *Value("a", 10), 3, At({})).ok());
  ASSERT_TRUE(file->Save(Key("a"), State{}, 4, At({})).ok());
  auto stored = file->Load(Key("a"));
  ASSERT_TRUE(stored.ok() && stored->has_value());
  EXPECT_EQ((*stored)->index, 4u);
  EXPECT_TRUE((*stored)->state->entries.empty());
}

// A change of one key below a large prefix must not write the prefix again.
TEST_F(StateFileTest, WritesWhatChanged) {
  const Target prefix{TargetKind::kPrefix, "p/", "", ""};
  State state;
  for (int i = 0; i < 5000; ++i) {
    state.entries.push_back({"p/" + std::to_string(10000 + i), std::string(500, 'x'), 0, 1, 2});
  }
  ASSERT_TRUE(MustOpen()->Save(prefix, state, 2, At({})).ok());
  EXPECT_GT(fs::file_size(path()), 2500000u);
  state.entries[2500].value = "changed";
  state.entries[2500].modify_index = 3;
  // Opened again, so that the log holds this save alone.
  auto file = MustOpen();
  ASSERT_TRUE(file->Save(prefix, state, 3, At({})).ok());
  EXPECT_LT(fs::file_size(path().string() + "-wal"), 100000u);
  auto stored = file->Load(prefix);
  ASSERT_TRUE(stored.ok() && stored->has_value());
  EXPECT_TRUE(Equal(TargetKind::kPrefix, *(*stored)->state, state));
}

// Ages after a restart depend on it: a confirmation moves the time and nothing else.
TEST_F(StateFileTest, ConfirmsWithoutRewriting) {
  const Target target = NumberedTargets()[1];
  {
    auto file = MustOpen();
    MustSave(*file, target, 7);
    ASSERT_TRUE(file->Begin().ok());
    auto found = file->Confirm(target, 7, At(absl::Minutes(5)));
    EXPECT_TRUE(found.ok() && *found);
    found = file->Confirm(Key("unknown"), 7, At(absl::Minutes(5)));
    EXPECT_TRUE(found.ok() && !*found);
    ASSERT_TRUE(file->Commit().ok());
  }
  auto file = MustOpen();
  EXPECT_EQ(MustLoad(*file, target), 7u);
  EXPECT_EQ((*file->Load(target))->confirmed.wall, kNoon + absl::Minutes(5));
}

// Neither many targets nor large ones may fill the disk; what was used last stays.
TEST_F(StateFileTest, DropsTheLeastRecentlyUsed) {
  options_.max_targets = 3;
  {
    auto file = MustOpen();
    for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(file->Save(Key(key), *Value(key, 10), 2, At({})).ok());
    EXPECT_TRUE((*file->Load(Key("a"))).has_value());
    ASSERT_TRUE(file->Save(Key("d"), *Value("d", 10), 2, At({})).ok());
    EXPECT_FALSE((*file->Load(Key("b"))).has_value());
    EXPECT_TRUE((*file->Load(Key("a"))).has_value());
  }
  options_.max_targets = 100;
  options_.max_bytes = 100000;
  auto file = MustOpen();
  EXPECT_EQ(file->targets(), 3u);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(file->Save(Key(std::to_string(i)), *Value(std::to_string(i), 10000), 2, At({})).ok());
    EXPECT_LE(file->bytes(), options_.max_bytes);
  }
  EXPECT_FALSE((*file->Load(Key("a"))).has_value());
  EXPECT_TRUE((*file->Load(Key("99"))).has_value());
  EXPECT_TRUE((*file->Load(Key("95"))).has_value());
  // The file follows: what is dropped is given back.
  file.reset();
  EXPECT_LT(fs::file_size(path()), 2 * options_.max_bytes);
}

// One state larger than everything that may be kept is refused, and does not push the others out.
TEST_F(StateFileTest, RefusesWhatIsTooLarge) {
  options_.max_bytes = 100000;
  auto file = MustOpen();
  ASSERT_TRUE(file->Save(Key("a"), *Value("a", 10), 2, At({})).ok());
  ASSERT_TRUE(file->Save(Key("b"), *Value("b", 10), 2, At({})).ok());
  EXPECT_TRUE(absl::IsOutOfRange(file->Save(Key("b"), *Value("b", 200000), 3, At({}))));
  EXPECT_TRUE((*file->Load(Key("a"))).has_value());
  EXPECT_FALSE((*file->Load(Key("b"))).has_value()) << "older than what was refused";
}

// Targets that nobody watches go after a week, unless they were used before it was asked for.
TEST_F(StateFileTest, DropsWhatNobodyWatches) {
  {
    auto file = MustOpen();
    ASSERT_TRUE(file->Save(Key("old"), *Value("old", 10), 2, At({})).ok());
    ASSERT_TRUE(file->Save(Key("used"), *Value("used", 10), 2, At({})).ok());
    ASSERT_TRUE(file->Save(Key("young"), *Value("young", 10), 2, At(absl::Hours(2))).ok());
  }
  auto file = MustOpen(options_.retention + absl::Hours(1));
  EXPECT_EQ(file->targets(), 3u);
  EXPECT_TRUE((*file->Load(Key("used"))).has_value());
  ASSERT_TRUE(file->DropExpired().ok());
  EXPECT_EQ(file->targets(), 2u);
  EXPECT_FALSE((*file->Load(Key("old"))).has_value());
  EXPECT_TRUE((*file->Load(Key("young"))).has_value());
}

// Values are in it: nobody but its owner may read any file of it, whatever the umask or an earlier mode was.
TEST_F(StateFileTest, IsItsOwnersAlone) {
  const mode_t mask = umask(0);
  fs::create_directories(options_.directory);
  chmod(options_.directory.c_str(), 0777);
  auto file = MustOpen();
  MustSave(*file, NumberedTargets()[0], 1);
  umask(mask);
  struct stat found;
  ASSERT_EQ(stat(options_.directory.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  EXPECT_THAT(Names(), ::testing::UnorderedElementsAre("states.db", "states.db-wal"));
  for (const std::string& name : Names()) {
    ASSERT_EQ(stat((options_.directory + "/" + name).c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600u) << name;
  }
}

// Two processes on one directory would each believe in what the other has dropped.
TEST_F(StateFileTest, BelongsToOneProcess) {
  auto first = MustOpen();
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status())) << Open().status();
  first.reset();
  EXPECT_TRUE(Open().ok());
}

// What can't be a directory, or may not be one, is an error with its path, not a crash.
TEST_F(StateFileTest, ADirectoryThatCannotBeMade) {
  WriteAll(directory_.path() + "/made", "a file");
  auto file = Open();
  ASSERT_FALSE(file.ok());
  EXPECT_FALSE(absl::IsDataLoss(file.status()));
  EXPECT_THAT(std::string(file.status().message()), ::testing::HasSubstr(options_.directory));
}

// ---- Damage.

class DamagedFileTest : public StateFileTest {
 protected:
  // Two states of each target: the first in the database, the second in the log as well where `with_log`.
  void MakeFile(bool with_log) {
    auto file = MustOpen();
    for (const Target& target : NumberedTargets()) MustSave(*file, target, 5);
    file.reset();
    file = MustOpen();
    for (const Target& target : NumberedTargets()) MustSave(*file, target, 15);
    if (!with_log) file.reset();
    database_ = ReadAll(path());
    log_ = with_log ? ReadAll(path().string() + "-wal") : "";
  }

  // Opens a copy with these bytes and loads everything: nothing may crash, and what is loaded was saved. Returns how
  // many targets were there.
  int OpenCopy(const std::string& database, const std::string& log, const std::string& what) {
    StateFileOptions options = options_;
    options.directory += "-copy";
    fs::remove_all(options.directory);
    fs::create_directories(options.directory);
    WriteAll(options.directory + "/states.db", database);
    if (!log.empty()) WriteAll(options.directory + "/states.db-wal", log);
    int loaded = 0;
    auto file = StateFile::Open(options, At({}), [](std::string_view) {});
    if (!file.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(file.status())) << what << ": " << file.status();
      return 0;
    }
    for (const Target& target : NumberedTargets()) {
      auto stored = (*file)->Load(target);
      if (!stored.ok()) {
        EXPECT_TRUE(absl::IsDataLoss(stored.status())) << what << ": " << stored.status();
        continue;
      }
      if (!stored->has_value()) continue;
      const uint64_t n = (*stored)->index;
      EXPECT_TRUE(n == 5 || n == 15) << what << ": " << n;
      EXPECT_TRUE(Equal(target.kind, *(*stored)->state, *NumberedState(target.kind, n))) << what;
      EXPECT_EQ((*stored)->confirmed.wall, kNoon) << what;
      ++loaded;
    }
    // A damaged file is written to as well before the damage is met.
    for (const Target& target : NumberedTargets()) {
      (*file)->Save(target, *NumberedState(target.kind, 9), 9, At({})).IgnoreError();
    }
    for (const Target& target : NumberedTargets()) {
      auto stored = (*file)->Load(target);
      if (!stored.ok() || !stored->has_value()) continue;
      EXPECT_TRUE(Equal(target.kind, *(*stored)->state, *NumberedState(target.kind, (*stored)->index))) << what;
    }
    return loaded;
  }

  std::string database_, log_;
};

// A disk that returns other bits than it was given: never a wrong state, wherever the bit is.
TEST_F(DamagedFileTest, FlippedBits) {
  std::mt19937 random(1);
  for (const bool with_log : {false, true}) {
    fs::remove_all(options_.directory);
    MakeFile(with_log);
    ASSERT_EQ(OpenCopy(database_, log_, "undamaged"), 4);
    int whole = 0, damaged = 0;
    const std::string& victim = with_log ? log_ : database_;
    for (int i = 0; i < 250; ++i) {
      std::string flipped = victim;
      const size_t at = random() % flipped.size();
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << random() % 8));
      const std::string what = "bit flipped at " + std::to_string(at);
      const int loaded = with_log ? OpenCopy(database_, flipped, what) : OpenCopy(flipped, log_, what);
      (loaded == 4 ? whole : damaged)++;
    }
    EXPECT_GT(whole, 0);
    if (!with_log) {
      EXPECT_GT(damaged, 50) << "the flips have to hit something";
    }
  }
}

// A file that ends early, as after a failed copy or a file system that lost its end.
TEST_F(DamagedFileTest, Truncated) {
  MakeFile(/*with_log=*/false);
  const size_t step = database_.size() / 100 + 1;
  for (size_t size = 0; size < database_.size(); size += step) {
    OpenCopy(database_.substr(0, size), "", "truncated to " + std::to_string(size));
  }
  for (size_t page = 0; page < database_.size(); page += 4096) {
    OpenCopy(database_.substr(0, page), "", "truncated to " + std::to_string(page));
  }
}

// Something else in its place.
TEST_F(DamagedFileTest, RandomBytes) {
  MakeFile(/*with_log=*/false);
  std::mt19937 random(2);
  for (const size_t size : {1, 100, 4096, 50000}) {
    std::string junk(size, '\0');
    for (char& c : junk) c = static_cast<char>(random());
    EXPECT_EQ(OpenCopy(junk, "", "junk"), 0);
    // With the right beginning it is taken further.
    if (size > 4096) {
      EXPECT_EQ(OpenCopy(database_.substr(0, 4096) + junk, "", "junk after the first page"), 0);
    }
  }
}

// Pages of an earlier time among later ones, as after a lost write.
TEST_F(DamagedFileTest, PagesOfAnotherTime) {
  MakeFile(/*with_log=*/false);
  const std::string earlier = database_;
  {
    auto file = MustOpen();
    for (const Target& target : NumberedTargets()) MustSave(*file, target, 7 + 40);
    for (const Target& target : NumberedTargets()) MustSave(*file, target, 5);
  }
  const std::string later = ReadAll(path());
  for (size_t page = 4096; page + 4096 <= std::min(earlier.size(), later.size()); page += 4096) {
    std::string mixed = later;
    mixed.replace(page, 4096, earlier, page, 4096);
    OpenCopy(mixed, "", "page " + std::to_string(page / 4096) + " of an earlier time");
  }
}

// A damaged file is kept for whoever wants to look, and a new one is begun; but not one for each of many restarts.
TEST_F(DamagedFileTest, IsSetAside) {
  for (int i = 0; i < 4; ++i) {
    { MustOpen(); }
    WriteAll(path(), "this is no database, but long enough to look at: " + std::string(200, 'x') + std::to_string(i));
    ASSERT_TRUE(absl::IsDataLoss(Open().status()));
    auto aside = StateFile::SetAside(options_, At(absl::Seconds(i)));
    ASSERT_TRUE(aside.ok()) << aside.status();
    EXPECT_THAT(*aside, ::testing::HasSubstr("states.db.damaged-20231114T22132" + std::to_string(i)));
    EXPECT_EQ(ReadAll(*aside).back(), '0' + i);
  }
  auto file = MustOpen();
  EXPECT_EQ(file->targets(), 0u);
  MustSave(*file, NumberedTargets()[0], 1);
  int kept = 0;
  for (const std::string& name : Names()) kept += name.find("damaged") != std::string::npos ? 1 : 0;
  EXPECT_EQ(kept, 2);
}

// The file of a later version, or of another program, is not read as ours.
TEST_F(DamagedFileTest, OfAnotherVersion) {
  MakeFile(/*with_log=*/false);
  std::string newer = database_;
  newer[63] = 2;  // user_version
  EXPECT_EQ(OpenCopy(newer, "", "newer"), 0);
  std::string foreign = database_;
  foreign[71] = 'X';  // application_id
  EXPECT_EQ(OpenCopy(foreign, "", "foreign"), 0);
}

}  // namespace
}  // namespace meshgate::consul::last_known
