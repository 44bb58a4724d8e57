#include "server/stream/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/stream/stream_set.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::meshgate::testing::ManualExecutor;
using ::meshgate::testing::ManualScheduler;
using ::meshgate::testing::TakingStream;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A subscription whose next message the test sets.
class FakeSubscription : public consul::Subscription {
 public:
  struct Script {
    consul::SharedMessage next;
    absl::Status error;
    consul::SharedMessage progress;
    std::function<void()> on_next = [] {};
    int asked = 0;
    bool destroyed = false;
    std::atomic<int> inside{0};
  };
  explicit FakeSubscription(Script* script) : script_(script) {}
  ~FakeSubscription() override {
    EXPECT_EQ(script_->inside, 0) << "destroyed while it is being read";
    script_->destroyed = true;
  }

  absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo*) override {
    EXPECT_EQ(script_->inside++, 0) << "two threads read one subscription";
    ++script_->asked;
    absl::StatusOr<consul::SharedMessage> next = std::exchange(script_->next, nullptr);
    if (!script_->error.ok()) next = script_->error;
    script_->on_next();
    --script_->inside;
    return next;
  }
  consul::SharedMessage Progress() override { return script_->progress; }
  consul::TargetKind kind() const override { return consul::TargetKind::kPrefix; }

 private:
  Script* const script_;
};

class Drops : public consul::WatchReporter {
 public:
  void OnDropped(DropReason reason) override { failed += reason == DropReason::kFailed; }
  int failed = 0;
};

class OutboxTest : public ::testing::Test {
 protected:
  static consul::SharedMessage Message(std::string bytes) {
    return std::make_shared<const consul::Message>(consul::Message{std::move(bytes), absl::InfinitePast()});
  }
  void Start(absl::Duration progress = absl::ZeroDuration()) {
    outbox().Start(std::make_unique<FakeSubscription>(&script_), progress);
  }
  void Say(std::string bytes) {
    script_.next = Message(std::move(bytes));
    outbox().WakeSoon();
    executor_.RunReady();
  }
  void End(absl::Status status) {
    outbox().End(std::move(status));
    executor_.RunReady();
  }
  void Advance(absl::Duration by) {
    scheduler_.Advance(by);
    executor_.RunReady();
  }
  Outbox& outbox() { return *stream_.outbox(); }
  absl::StatusCode EndCode() const { return stream_.end().value_or(absl::UnknownError("still open")).code(); }

  ManualScheduler scheduler_;
  ManualExecutor executor_;
  Drops reporter_;
  FakeSubscription::Script script_;
  TakingStream stream_{&executor_, &scheduler_, &reporter_};
};

// What is there when the stream begins must go out without a wake.
TEST_F(OutboxTest, GivesTheFirstMessageAtOnce) {
  script_.next = Message("state");
  Start();
  EXPECT_THAT(stream_.taken(), ElementsAre("state"));
  EXPECT_EQ(outbox().kind(), consul::TargetKind::kPrefix);
}

// A handler subscribes before it starts the stream: what it is told in between would be lost.
TEST_F(OutboxTest, KeepsAWakeFromBeforeItStarted) {
  outbox().WakeSoon();
  executor_.RunReady();
  EXPECT_THAT(stream_.taken(), IsEmpty());
  script_.next = Message("state");
  Start();
  EXPECT_THAT(stream_.taken(), ElementsAre("state"));
}

// A reader without room gets the latest when it has some: nothing may queue up for it.
TEST_F(OutboxTest, GivesTheLatestWhenThereIsRoom) {
  stream_.GiveRoom(1);
  Start();
  Say("1");
  Say("2");
  Say("3");
  EXPECT_THAT(stream_.taken(), ElementsAre("1"));
  stream_.GiveRoom();
  EXPECT_THAT(stream_.taken(), ElementsAre("1", "3"));
  stream_.GiveRoom();
  EXPECT_THAT(stream_.taken(), ElementsAre("1", "3"));
}

// A burst of changes must not become as many turns of the transport's thread.
TEST_F(OutboxTest, ManyWakesAreOneTurn) {
  Start();
  for (int i = 0; i < 100; ++i) outbox().WakeSoon();
  EXPECT_EQ(executor_.scheduled(), 1u);
  EXPECT_EQ(executor_.RunReady(), 1);
  outbox().WakeSoon();
  EXPECT_EQ(executor_.scheduled(), 1u);
}

// A peer that opens its window over and over must not have the hub asked each time.
TEST_F(OutboxTest, AsksTheHubOnlyWhenItWasWoken) {
  Start();
  EXPECT_EQ(script_.asked, 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(outbox().Take(nullptr).message, nullptr);
  EXPECT_EQ(script_.asked, 1);
  outbox().WakeSoon();
  executor_.RunReady();
  EXPECT_EQ(script_.asked, 2);
}

// A change that comes while another is being taken would be lost with its wake.
TEST_F(OutboxTest, AWakeDuringATakeIsNotLost) {
  Start();
  bool once = true;
  script_.on_next = [&] {
    if (!std::exchange(once, false)) return;
    script_.next = Message("2");
    outbox().WakeSoon();
  };
  Say("1");
  EXPECT_THAT(stream_.taken(), ElementsAre("1", "2"));
}

// A reader that does not read must still be told the end, and not what it left lying before.
TEST_F(OutboxTest, TheEndOvertakesWhatIsNotTaken) {
  stream_.GiveRoom(0);
  Start();
  Say("1");
  End(absl::UnavailableError("draining"));
  EXPECT_THAT(stream_.taken(), IsEmpty());
  EXPECT_EQ(EndCode(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(script_.destroyed);
}

// What a reader is told is why its stream ended first, whatever comes after it.
TEST_F(OutboxTest, TheFirstEndWins) {
  Start();
  outbox().End(absl::UnavailableError("draining"));
  outbox().End(absl::InternalError("x"));
  script_.error = absl::InvalidArgumentError("filter");
  Say("late");
  EXPECT_THAT(stream_.taken(), IsEmpty());
  EXPECT_EQ(EndCode(), absl::StatusCode::kUnavailable);
}

// A stream that is refused before it began must end all the same, and a start that comes too late must hold nothing.
TEST_F(OutboxTest, EndsBeforeItStarted) {
  End(absl::InvalidArgumentError("key"));
  EXPECT_EQ(EndCode(), absl::StatusCode::kInvalidArgument);
  script_.next = Message("state");
  Start();
  executor_.RunReady();
  EXPECT_THAT(stream_.taken(), IsEmpty());
  EXPECT_TRUE(script_.destroyed);
}

// The same where the end has been said and not yet been heard.
TEST_F(OutboxTest, EndedWhileItStarts) {
  outbox().End(absl::UnavailableError("draining"));
  script_.next = Message("state");
  Start();
  EXPECT_THAT(stream_.taken(), IsEmpty());
  executor_.RunReady();
  EXPECT_EQ(EndCode(), absl::StatusCode::kUnavailable);
}

// The call is gone after Close(): a listener that is called then is memory that somebody else has by now.
TEST_F(OutboxTest, AClosedStreamIsCalledNoMore) {
  Start();
  const int ready = stream_.ready();
  outbox().WakeSoon();
  stream_.Close();
  EXPECT_TRUE(script_.destroyed);
  outbox().End(absl::UnavailableError("draining"));
  executor_.RunReady();
  outbox().WakeSoon();
  executor_.RunReady();
  Start();
  EXPECT_EQ(stream_.ready(), ready);
  EXPECT_FALSE(stream_.end().has_value());
}

// Would break if a caller's mistake woke an operator, or a stream that we fail did not.
TEST_F(OutboxTest, CountsFailuresThatAreOurs) {
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("filter"), 0},  {absl::NotFoundError("datacenter"), 0},
      {absl::PermissionDeniedError("policy"), 0}, {absl::UnauthenticatedError("token"), 0},
      {absl::UnavailableError("away"), 1},        {absl::InternalError("junk"), 1}};
  for (const auto& [error, failed] : cases) {
    reporter_.failed = 0;
    TakingStream stream(&executor_, &scheduler_, &reporter_);
    script_.error = error;
    stream.outbox()->Start(std::make_unique<FakeSubscription>(&script_), absl::ZeroDuration());
    ASSERT_TRUE(stream.end().has_value());
    EXPECT_EQ(*stream.end(), error);
    EXPECT_EQ(reporter_.failed, failed) << error;
  }
}

// A target that can't be watched any more ends its streams with the reason.
TEST_F(OutboxTest, AnErrorOfTheSubscriptionEndsTheStream) {
  Start();
  script_.error = absl::InvalidArgumentError("filter");
  outbox().WakeSoon();
  executor_.RunReady();
  EXPECT_EQ(EndCode(), absl::StatusCode::kInvalidArgument);
}

// Without signs of life a reader can't tell a quiet target from a dead stream; they come only in quiet.
TEST_F(OutboxTest, GivesProgressAfterQuiet) {
  script_.progress = Message("progress");
  Start(absl::Seconds(10));
  Advance(absl::Seconds(6));
  Say("1");
  Advance(absl::Seconds(9));
  EXPECT_THAT(stream_.taken(), ElementsAre("1"));
  Advance(absl::Seconds(1));
  EXPECT_THAT(stream_.taken(), ElementsAre("1", "progress"));
  Advance(absl::Seconds(10));
  EXPECT_THAT(stream_.taken(), ElementsAre("1", "progress", "progress"));
}

// A reader that did not read for an hour would be sent one sign of life for each of its intervals.
TEST_F(OutboxTest, ProgressDoesNotPileUp) {
  script_.progress = Message("progress");
  stream_.GiveRoom(0);
  Start(absl::Seconds(10));
  for (int i = 0; i < 6; ++i) Advance(absl::Seconds(10));
  stream_.GiveRoom(TakingStream::kPlenty);
  EXPECT_THAT(stream_.taken(), ElementsAre("progress"));
}

// What has changed says more than a sign of life, and makes that unnecessary.
TEST_F(OutboxTest, AChangeTakesThePlaceOfProgress) {
  script_.progress = Message("progress");
  stream_.GiveRoom(0);
  Start(absl::Seconds(10));
  Advance(absl::Seconds(10));
  Say("1");
  stream_.GiveRoom(TakingStream::kPlenty);
  EXPECT_THAT(stream_.taken(), ElementsAre("1"));
}

// A stream that ended must not keep a timer that goes on for ever.
TEST_F(OutboxTest, ProgressEndsWithTheStream) {
  script_.progress = Message("progress");
  Start(absl::Seconds(10));
  stream_.Close();
  Advance(absl::Seconds(30));
  EXPECT_THAT(stream_.taken(), IsEmpty());
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// Under ThreadSanitizer: threads wake and end a stream while its own thread takes. Each wake is taken, or the end is.
TEST_F(OutboxTest, SurvivesEverythingAtOnce) {
  for (int round = 0; round < 200; ++round) {
    FakeSubscription::Script script;
    TakingStream stream(&executor_, &scheduler_, &reporter_);
    stream.outbox()->Start(std::make_unique<FakeSubscription>(&script), absl::ZeroDuration());
    std::atomic<int> running{3};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) stream.outbox()->WakeSoon();
        --running;
      });
    }
    threads.emplace_back([&] {
      stream.outbox()->End(absl::UnavailableError("draining"));
      --running;
    });
    while (running > 0) executor_.RunReady();
    for (std::thread& thread : threads) thread.join();
    executor_.RunReady();
    ASSERT_TRUE(stream.end().has_value());
    ASSERT_TRUE(script.destroyed);
  }
}

// Under ThreadSanitizer: what a wake announces is seen by the thread that takes, and no wake of many threads is lost.
TEST_F(OutboxTest, NoWakeIsLost) {
  constexpr int kThreads = 4, kWakes = 500;
  std::atomic<int> said{0}, seen{0};
  script_.on_next = [&] { seen = said.load(); };
  Start();
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kWakes; ++i) {
        ++said;
        outbox().WakeSoon();
      }
      --running;
    });
  }
  while (running > 0) executor_.RunReady();
  for (std::thread& thread : threads) thread.join();
  executor_.RunReady();
  EXPECT_EQ(seen, kThreads * kWakes);
}

// A drain that misses a stream, or one that comes during it, would wait for its deadline.
TEST_F(OutboxTest, AStreamSetEndsAllAndThoseToCome) {
  StreamSet set;
  auto membership = set.Add(stream_.outbox());
  Start();
  EXPECT_EQ(set.size(), 1u);
  set.EndAll(absl::UnavailableError("draining"));
  executor_.RunReady();
  EXPECT_EQ(EndCode(), absl::StatusCode::kUnavailable);

  TakingStream late(&executor_, &scheduler_, &reporter_);
  auto late_membership = set.Add(late.outbox());
  executor_.RunReady();
  ASSERT_TRUE(late.end().has_value());
  EXPECT_EQ(late.end()->message(), "draining");
  membership.reset();
  late_membership.reset();
  EXPECT_EQ(set.size(), 0u);
}

}  // namespace
}  // namespace meshgate::server
