// Calls as such: cancelling, deadlines, shutting down, and many at a time.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

using PendingEntries = testing::Pending<absl::StatusOr<Answer<Entries>>>;

constexpr absl::Duration kLongWait = absl::Minutes(5);

// A caller that went away would keep its query, and its memory, for the whole wait.
TEST_P(BackendConformance, CancelEndsABlockingQuery) {
  const std::string key = Unique("cancel");
  ASSERT_TRUE(Put(key, "v").ok());
  ReadOptions options;
  options.index = IndexOf(ReadKey(key));
  options.wait = kLongWait;
  PendingEntries pending;
  CallHandle call = backend().ReadKey(key, options, pending.Callback());
  ASSERT_NE(call, nullptr);
  call->Cancel();
  call->Cancel();
  auto answer = pending.Get(kBound);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(Outcome(answer->status()), "CANCELLED CANCELLED");
  call->Cancel();
  backend().Shutdown();
  EXPECT_EQ(pending.calls(), 1);
}

// Cancelling what has ended, or dropping the handle of what has not, must do nothing.
TEST_P(BackendConformance, CancelAfterTheAnswerAndDroppedHandles) {
  const std::string key = Unique("cancel-late");
  PendingEntries pending;
  CallHandle call = backend().ReadKey(key, {}, pending.Callback());
  auto answer = pending.Get(kBound);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok()) << answer->status();
  call->Cancel();
  call = nullptr;
  PendingEntries dropped;
  backend().ReadKey(key, {}, dropped.Callback());
  auto second = dropped.Get(kBound);
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->ok()) << second->status();
}

// A caller without time left must get its own error, not an answer it no longer waits for.
TEST_P(BackendConformance, NoTimeLeftIsDeadlineExceeded) {
  const std::string key = Unique("deadline");
  ReadOptions read;
  read.timeout = absl::ZeroDuration();
  EXPECT_EQ(Outcome(ReadKey(key, read).status()), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
  WriteOptions write;
  write.timeout = absl::ZeroDuration();
  testing::Pending<absl::Status> done;
  backend().DeleteKey(key, std::nullopt, write, done.Callback());
  EXPECT_EQ(Outcome(done.Get(kBound).value_or(absl::OkStatus())), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
}

// The process could not end while queries wait, or callbacks would run into what is already destroyed.
TEST_P(BackendConformance, ShutdownEndsEveryCall) {
  const std::string key = Unique("shutdown");
  ASSERT_TRUE(Put(key, "v").ok());
  const uint64_t index = IndexOf(ReadKey(key));
  std::vector<PendingEntries> waiting;
  for (int i = 0; i < 50; ++i) waiting.push_back(WatchKey(key, index, kLongWait));
  backend().Shutdown();
  for (const PendingEntries& pending : waiting) {
    ASSERT_EQ(pending.calls(), 1) << "Shutdown() returned before the callback had run";
    EXPECT_EQ(Outcome(pending.Get(kBound)->status()), "CANCELLED CANCELLED");
  }
  EXPECT_EQ(Outcome(ReadKey(key).status()), "CANCELLED CANCELLED") << "calls made later fail the same way";
  EXPECT_EQ(Outcome(Put(key, "w").status()), "CANCELLED CANCELLED");
  EXPECT_EQ(Outcome(Delete(key)), "CANCELLED CANCELLED");
  EXPECT_EQ(Outcome(Heartbeat("x", Health::kPassing)), "CANCELLED CANCELLED");
  backend().Shutdown();
}

// Calls that arrive together must neither starve nor be mixed up.
TEST_P(BackendConformance, ManyCallsAtOnce) {
  const std::string base = Unique("parallel");
  constexpr int kCalls = 500;
  std::vector<testing::Pending<absl::StatusOr<KvEntry>>> puts(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    KvEntry entry;
    entry.key = absl::StrCat(base, "/", i);
    entry.value = absl::StrCat("value ", i);
    backend().PutKey(entry, std::nullopt, {}, puts[i].Callback());
  }
  for (int i = 0; i < kCalls; ++i) {
    auto put = puts[i].Get(kBound);
    ASSERT_TRUE(put.has_value());
    ASSERT_TRUE(put->ok()) << put->status();
    EXPECT_EQ((*put)->key, absl::StrCat(base, "/", i));
  }
  std::vector<PendingEntries> reads(kCalls);
  for (int i = 0; i < kCalls; ++i) backend().ReadKey(absl::StrCat(base, "/", i), {}, reads[i].Callback());
  for (int i = 0; i < kCalls; ++i) {
    auto read = reads[i].Get(kBound);
    ASSERT_TRUE(read.has_value());
    ASSERT_TRUE(read->ok()) << read->status();
    ASSERT_EQ((*read)->value.size(), 1u);
    EXPECT_EQ((*read)->value[0].value, absl::StrCat("value ", i));
  }
}

// Readiness would be wrong about a store that works.
TEST_P(BackendConformance, HealthyStoreSaysSo) {
  testing::Pending<absl::StatusOr<BackendHealth>> pending;
  backend().CheckHealth(absl::Seconds(10), pending.Callback());
  auto health = pending.Get(kBound);
  ASSERT_TRUE(health.has_value());
  ASSERT_TRUE(health->ok()) << health->status();
  EXPECT_TRUE((*health)->known_leader);
  EXPECT_LT((*health)->last_contact, absl::Seconds(5));
}

}  // namespace
}  // namespace meshgate::consul
