// Blocking queries: what wakes them, what does not, and what their indexes promise.
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

using PendingEntries = testing::Pending<absl::StatusOr<Answer<Entries>>>;

// The answer of a blocking query that has to come.
absl::StatusOr<Answer<Entries>> Woken(const PendingEntries& pending) {
  auto answer = pending.Get(kBound);
  EXPECT_TRUE(answer.has_value()) << "nothing woke the query";
  return answer.has_value() ? *answer : absl::StatusOr<Answer<Entries>>(absl::UnknownError("not woken"));
}

class Stopwatch {
 public:
  absl::Duration Elapsed() const { return absl::FromChrono(std::chrono::steady_clock::now() - start_); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr absl::Duration kShortWait = absl::Seconds(2);

// What a query that was not woken looks like: it took its wait, and the index to block on is the same.
void ExpectNotWoken(const PendingEntries& pending, uint64_t index, const Stopwatch& since) {
  auto answer = Woken(pending);
  EXPECT_GE(since.Elapsed(), kShortWait * 0.9) << "the query was woken";
  EXPECT_EQ(IndexOf(answer), index);
}

// The watch hub would never hear of a new key.
TEST_P(BackendConformance, WatchWakesOnCreate) {
  const std::string key = Unique("watch-create");
  const uint64_t index = IndexOf(ReadKey(key));
  auto pending = WatchKey(key, index);
  ASSERT_TRUE(Put(key, "v").ok());
  // Other writes may wake a query for a missing key: it asks again then.
  auto answer = Woken(pending);
  while (answer.ok() && answer->value.empty()) answer = Woken(WatchKey(key, IndexOf(answer)));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->value[0].value, "v");
  EXPECT_GT(IndexOf(answer), index);
}

// The watch hub would never hear of a change of an entry's value, or of its flags alone.
TEST_P(BackendConformance, WatchWakesOnUpdateAndOnFlags) {
  const std::string key = Unique("watch-update");
  ASSERT_TRUE(Put(key, "1").ok());
  const uint64_t index = IndexOf(ReadKey(key));
  auto pending = WatchKey(key, index);
  ASSERT_TRUE(Put(key, "2").ok());
  auto answer = Woken(pending);
  const uint64_t second = IndexOf(answer);
  EXPECT_GT(second, index);
  ASSERT_EQ(answer->value.size(), 1u);
  EXPECT_EQ(answer->value[0].value, "2");

  pending = WatchKey(key, second);
  ASSERT_TRUE(Put(key, "2", 9).ok());
  answer = Woken(pending);
  EXPECT_GT(IndexOf(answer), second);
  ASSERT_EQ(answer->value.size(), 1u);
  EXPECT_EQ(answer->value[0].flags, 9u);
}

// Readers would keep configuration that was deleted.
TEST_P(BackendConformance, WatchWakesOnDelete) {
  const std::string key = Unique("watch-delete");
  ASSERT_TRUE(Put(key, "v").ok());
  const uint64_t index = IndexOf(ReadKey(key));
  auto pending = WatchKey(key, index);
  ASSERT_TRUE(Delete(key).ok());
  auto answer = Woken(pending);
  EXPECT_GT(IndexOf(answer), index);
  EXPECT_TRUE(answer->value.empty());
}

// Every repeated write, and every write beside it, would cost each watched key a round trip.
TEST_P(BackendConformance, WatchSleepsThroughIdenticalPutsAndSiblings) {
  const std::string key = Unique("watch-sleep");
  ASSERT_TRUE(Put(key, "v", 1).ok());
  const uint64_t index = IndexOf(ReadKey(key));
  const Stopwatch since;
  auto pending = WatchKey(key, index, kShortWait);
  ASSERT_TRUE(Put(key, "v", 1).ok());
  ASSERT_TRUE(Put(key + "x", "sibling").ok());
  ASSERT_TRUE(Put(key + "/below", "child").ok());
  ASSERT_TRUE(Put(Unique("watch-other"), "other").ok());
  ExpectNotWoken(pending, index, since);
}

// A watcher would take the end of its wait for a change, or block on an index that loses one.
TEST_P(BackendConformance, WaitEndsWithTheSameIndex) {
  const std::string key = Unique("watch-wait");
  ASSERT_TRUE(Put(key, "v").ok());
  auto before = ReadKey(key);
  const uint64_t index = IndexOf(before);
  const Stopwatch since;
  auto pending = WatchKey(key, index, kShortWait);
  auto answer = Woken(pending);
  EXPECT_GE(since.Elapsed(), kShortWait * 0.9);
  EXPECT_EQ(IndexOf(answer), index);
  EXPECT_EQ(answer->value, before->value);
}

// A query that asks from before the present state must be answered at once: the change it waits for has happened.
TEST_P(BackendConformance, WatchBehindAnswersAtOnce) {
  const std::string key = Unique("watch-behind");
  auto first = Put(key, "1");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(Put(key, "2").ok());
  const Stopwatch since;
  auto answer = Woken(WatchKey(key, first->modify_index));
  EXPECT_LT(since.Elapsed(), absl::Seconds(20));
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->value.size(), 1u);
  EXPECT_EQ(answer->value[0].value, "2");
}

// A deletion followed by a creation between two polls can be told from no change by the create index alone.
TEST_P(BackendConformance, WatchSeesANewCreateIndex) {
  const std::string key = Unique("watch-again");
  auto first = Put(key, "v");
  ASSERT_TRUE(first.ok());
  const uint64_t index = IndexOf(ReadKey(key));
  ASSERT_TRUE(Delete(key).ok());
  ASSERT_TRUE(Put(key, "v").ok());
  auto answer = Woken(WatchKey(key, index));
  EXPECT_GT(IndexOf(answer), index);
  ASSERT_EQ(answer->value.size(), 1u);
  EXPECT_GT(answer->value[0].create_index, first->create_index);
}

// The index of a key that went down in normal use would make every watcher start over.
TEST_P(BackendConformance, IndexNeverGoesBack) {
  const std::string key = Unique("watch-monotonic");
  uint64_t last = 0;
  auto step = [&](const char* what) {
    const uint64_t index = IndexOf(ReadKey(key));
    EXPECT_GE(index, last) << "after " << what;
    last = index;
  };
  step("nothing");
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Put(key, absl::StrCat("value ", round)).ok());
    step("a put");
    ASSERT_TRUE(Put(key + "/sibling", absl::StrCat(round)).ok());
    step("a sibling's put");
    ASSERT_TRUE(Delete(key).ok());
    step("a delete");
    ASSERT_TRUE(Delete(key + "/sibling").ok());
    step("a sibling's delete");
  }
}

// A watched prefix would miss keys that appear, change or go below it.
TEST_P(BackendConformance, PrefixWatchWakesOnEveryChangeBelow) {
  const std::string base = Unique("watch-prefix") + "/";
  ASSERT_TRUE(Put(base + "a", "1").ok());
  uint64_t index = IndexOf(ReadPrefix(base));

  auto pending = WatchPrefix(base, index);
  ASSERT_TRUE(Put(base + "b/c", "1").ok());
  auto answer = Woken(pending);
  ASSERT_GT(IndexOf(answer), index);
  EXPECT_EQ(answer->value.size(), 2u);
  index = *answer->meta.index;

  pending = WatchPrefix(base, index);
  ASSERT_TRUE(Put(base + "a", "2").ok());
  answer = Woken(pending);
  ASSERT_GT(IndexOf(answer), index);
  EXPECT_EQ(answer->value.at(0).value, "2");
  index = *answer->meta.index;

  pending = WatchPrefix(base, index);
  ASSERT_TRUE(Delete(base + "a").ok());
  answer = Woken(pending);
  ASSERT_GT(IndexOf(answer), index);
  ASSERT_EQ(answer->value.size(), 1u);
  EXPECT_EQ(answer->value[0].key, base + "b/c");
  index = *answer->meta.index;

  pending = WatchPrefix(base, index);
  ASSERT_TRUE(DeletePrefix(base).ok());
  answer = Woken(pending);
  ASSERT_GT(IndexOf(answer), index);
  EXPECT_TRUE(answer->value.empty());
}

// A watched prefix would be woken by the whole store.
TEST_P(BackendConformance, PrefixWatchSleepsThroughOtherKeys) {
  const std::string base = Unique("watch-prefix-sleep");
  ASSERT_TRUE(Put(base + "/in", "1").ok());
  const uint64_t index = IndexOf(ReadPrefix(base + "/"));
  const Stopwatch since;
  auto pending = WatchPrefix(base + "/", index, kShortWait);
  ASSERT_TRUE(Put(base, "beside").ok());
  ASSERT_TRUE(Put(base + "-2/in", "beside").ok());
  ASSERT_TRUE(Put(base + "/in", "1").ok());
  ExpectNotWoken(pending, index, since);
}

// A prefix that is a string prefix must also wake as one.
TEST_P(BackendConformance, PrefixWatchIsAStringPrefix) {
  const std::string base = Unique("watch-string-prefix");
  ASSERT_TRUE(Put(base + "/n", "1").ok());
  const uint64_t index = IndexOf(ReadPrefix(base + "/n"));
  auto pending = WatchPrefix(base + "/n", index);
  ASSERT_TRUE(Put(base + "/new", "1").ok());
  auto answer = Woken(pending);
  EXPECT_GT(IndexOf(answer), index);
  EXPECT_EQ(answer->value.size(), 2u);
}

// An empty prefix of an otherwise used store must hear of its first key.
TEST_P(BackendConformance, EmptyPrefixWatchWakesOnFirstKey) {
  const std::string base = Unique("watch-first") + "/";
  auto answer = ReadPrefix(base);
  auto pending = WatchPrefix(base, IndexOf(answer));
  ASSERT_TRUE(Put(base + "first", "1").ok());
  answer = Woken(pending);
  while (answer.ok() && answer->value.empty()) answer = Woken(WatchPrefix(base, IndexOf(answer)));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->value[0].key, base + "first");
}

// Many watchers of one key must all hear of its change.
TEST_P(BackendConformance, EveryWatcherIsWoken) {
  const std::string key = Unique("watch-many");
  ASSERT_TRUE(Put(key, "1").ok());
  const uint64_t index = IndexOf(ReadKey(key));
  std::vector<PendingEntries> watchers;
  for (int i = 0; i < 50; ++i) watchers.push_back(WatchKey(key, index));
  ASSERT_TRUE(Put(key, "2").ok());
  for (const PendingEntries& watcher : watchers) {
    auto answer = Woken(watcher);
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->value.size(), 1u);
    EXPECT_EQ(answer->value[0].value, "2");
  }
}

}  // namespace
}  // namespace meshgate::consul
