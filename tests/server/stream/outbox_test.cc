#include "server/stream/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/stream/stream_set.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::meshgate::testing::ManualScheduler;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A subscription whose next message the test sets.
class FakeSubscription : public consul::Subscription {
 public:
  struct Script {
    consul::SharedMessage next;
    absl::Status error;
    consul::SharedMessage progress;
    bool destroyed = false;
    std::atomic<int> inside{0};
  };
  explicit FakeSubscription(Script* script) : script_(script) {}
  ~FakeSubscription() override {
    EXPECT_EQ(script_->inside, 0) << "destroyed while it is being read";
    script_->destroyed = true;
  }

  absl::StatusOr<consul::SharedMessage> Next() override {
    EXPECT_EQ(script_->inside++, 0) << "two threads read one subscription";
    std::this_thread::yield();
    --script_->inside;
    if (!script_->error.ok()) return script_->error;
    return std::exchange(script_->next, nullptr);
  }
  consul::SharedMessage Progress() override { return script_->progress; }
  consul::TargetKind kind() const override { return consul::TargetKind::kKey; }

 private:
  Script* const script_;
};

// Records what it is asked to do; "finish:<code>" at the end.
class FakeWriter : public StreamWriter {
 public:
  void StartWrite(consul::SharedMessage message) override {
    EXPECT_FALSE(writing) << "two writes in flight";
    writing = true;
    done.push_back(message->bytes);
    if (inline_done) {
      writing = false;
      outbox->OnWriteDone(true);
    }
  }
  void Finish(const absl::Status& status) override {
    EXPECT_FALSE(writing) << "Finish() beside a write";
    done.push_back("finish:" + std::to_string(static_cast<int>(status.code())));
  }

  std::vector<std::string> done;
  bool writing = false;
  bool inline_done = false;
  Outbox* outbox = nullptr;
};

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() { writer_.outbox = outbox_.get(); }

  static consul::SharedMessage Message(std::string bytes, absl::Time received = absl::InfinitePast()) {
    return std::make_shared<const consul::Message>(consul::Message{std::move(bytes), received});
  }
  void Start(absl::Duration progress = absl::ZeroDuration()) {
    outbox_->Start(std::make_unique<FakeSubscription>(&script_), progress);
  }
  void Say(std::string bytes) {
    script_.next = Message(std::move(bytes));
    outbox_->Wake();
  }
  void WriteDone(bool ok = true) {
    writer_.writing = false;
    outbox_->OnWriteDone(ok);
  }

  class Propagation : public consul::WatchReporter {
   public:
    void OnPropagation(consul::TargetKind, absl::Duration took) override { took_.push_back(took); }
    void OnDropped(DropReason) override { ++dropped_; }
    int dropped_ = 0;
    std::vector<absl::Duration> took_;
  };

  ManualScheduler scheduler_;
  Propagation reporter_;
  FakeWriter writer_;
  FakeSubscription::Script script_;
  std::shared_ptr<Outbox> outbox_ = std::make_shared<Outbox>(&writer_, &scheduler_, &reporter_);
};

// What is there when the stream begins must go out without a wake.
TEST_F(OutboxTest, SendsTheFirstMessageAtOnce) {
  script_.next = Message("state");
  Start();
  EXPECT_THAT(writer_.done, ElementsAre("state"));
}

// gRPC allows one write at a time; what comes meanwhile is taken when it is done, as the latest.
TEST_F(OutboxTest, HasOneWriteInFlightAndThenTakesTheLatest) {
  Start();
  Say("1");
  Say("2");
  Say("3");
  EXPECT_THAT(writer_.done, ElementsAre("1"));
  WriteDone();
  EXPECT_THAT(writer_.done, ElementsAre("1", "3"));
  WriteDone();
  EXPECT_THAT(writer_.done, ElementsAre("1", "3"));
}

// A transport may report the end of a write from inside StartWrite().
TEST_F(OutboxTest, ManagesWritesThatAreDoneAtOnce) {
  writer_.inline_done = true;
  Start();
  Say("1");
  Say("2");
  EXPECT_THAT(writer_.done, ElementsAre("1", "2"));
}

// Finish() while a write is in flight is not valid in gRPC.
TEST_F(OutboxTest, EndWaitsForTheWriteInFlight) {
  Start();
  Say("1");
  outbox_->End(absl::UnavailableError("draining"));
  EXPECT_THAT(writer_.done, ElementsAre("1"));
  WriteDone();
  EXPECT_THAT(writer_.done, ElementsAre("1", "finish:14"));
  EXPECT_TRUE(script_.destroyed);
}

// A second Finish() crashes gRPC: the first end wins, whatever comes after it.
TEST_F(OutboxTest, FinishesExactlyOnce) {
  Start();
  outbox_->End(absl::UnavailableError("draining"));
  outbox_->End(absl::InternalError("x"));
  outbox_->OnCancelled();
  Say("late");
  EXPECT_THAT(writer_.done, ElementsAre("finish:14"));
}

// What a reader is told is why its stream ended first, not what happened while the last write was going out.
TEST_F(OutboxTest, TheFirstEndWins) {
  Start();
  Say("1");
  outbox_->End(absl::UnavailableError("draining"));
  outbox_->End(absl::InternalError("x"));
  WriteDone(false);
  EXPECT_THAT(writer_.done, ElementsAre("1", "finish:14"));
}

// A stream that was refused before it began must still be finished, or its call never ends.
TEST_F(OutboxTest, EndsBeforeItStarted) {
  outbox_->End(absl::InvalidArgumentError("key"));
  EXPECT_THAT(writer_.done, ElementsAre("finish:3"));
  Start();
  EXPECT_THAT(writer_.done, ElementsAre("finish:3"));
  EXPECT_TRUE(script_.destroyed);
}

// After a failed write nothing more may be written.
TEST_F(OutboxTest, ABrokenStreamIsFinished) {
  Start();
  Say("1");
  script_.next = Message("2");
  WriteDone(false);
  EXPECT_THAT(writer_.done, ElementsAre("1", "finish:1"));
}

// A cancelled call that is never finished keeps a gRPC server from shutting down.
TEST_F(OutboxTest, ACancelledStreamIsFinishedAfterItsWrite) {
  Start();
  Say("1");
  outbox_->OnCancelled();
  EXPECT_THAT(writer_.done, ElementsAre("1"));
  WriteDone(false);
  EXPECT_THAT(writer_.done, ElementsAre("1", "finish:1"));
}

// Would break if a caller's mistake woke an operator, or a stream that we fail did not.
TEST_F(OutboxTest, CountsFailuresThatAreOurs) {
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("filter"), 0},  {absl::NotFoundError("datacenter"), 0},
      {absl::PermissionDeniedError("policy"), 0}, {absl::UnauthenticatedError("token"), 0},
      {absl::UnavailableError("away"), 1},        {absl::InternalError("junk"), 1}};
  for (const auto& [error, dropped] : cases) {
    reporter_.dropped_ = 0;
    FakeWriter writer;
    auto outbox = std::make_shared<Outbox>(&writer, &scheduler_, &reporter_);
    script_.error = error;
    outbox->Start(std::make_unique<FakeSubscription>(&script_), absl::ZeroDuration());
    EXPECT_EQ(writer.done.size(), 1u);
    EXPECT_EQ(reporter_.dropped_, dropped) << error;
  }
}

// A target that can't be watched ends its streams with the reason.
TEST_F(OutboxTest, AnErrorOfTheSubscriptionEndsTheStream) {
  Start();
  script_.error = absl::InvalidArgumentError("filter");
  outbox_->Wake();
  EXPECT_THAT(writer_.done, ElementsAre("finish:3"));
}

// Without signs of life a reader can't tell a quiet target from a dead stream; they come only in quiet.
TEST_F(OutboxTest, SendsProgressAfterQuiet) {
  script_.progress = Message("progress");
  Start(absl::Seconds(10));
  scheduler_.Advance(absl::Seconds(6));
  Say("1");
  WriteDone();
  scheduler_.Advance(absl::Seconds(9));
  EXPECT_THAT(writer_.done, ElementsAre("1"));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_THAT(writer_.done, ElementsAre("1", "progress"));
  WriteDone();
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_THAT(writer_.done, ElementsAre("1", "progress", "progress"));
}

// A stream that ended must not keep its timer, nor be woken by it.
TEST_F(OutboxTest, ProgressEndsWithTheStream) {
  script_.progress = Message("progress");
  Start(absl::Seconds(10));
  outbox_->OnCancelled();
  scheduler_.Advance(absl::Seconds(30));
  EXPECT_THAT(writer_.done, ElementsAre("finish:1"));
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// The metric that says how fast a change passed through, for changes only.
TEST_F(OutboxTest, ReportsHowLongAChangeTook) {
  Start();
  script_.next = Message("change", scheduler_.Now() - absl::Milliseconds(3));
  outbox_->Wake();
  WriteDone();
  Say("snapshot");
  EXPECT_THAT(reporter_.took_, ElementsAre(absl::Milliseconds(3)));
}

// Under ThreadSanitizer: wakes, ends of writes and a cancellation from different threads finish the stream once.
TEST_F(OutboxTest, SurvivesEverythingAtOnce) {
  for (int round = 0; round < 200; ++round) {
    FakeWriter writer;
    FakeSubscription::Script script;
    auto outbox = std::make_shared<Outbox>(&writer, &scheduler_, &reporter_);
    writer.outbox = outbox.get();
    writer.inline_done = true;
    outbox->Start(std::make_unique<FakeSubscription>(&script), absl::ZeroDuration());
    std::thread waker([&] {
      for (int i = 0; i < 50; ++i) outbox->Wake();
    });
    std::thread ender([&] { outbox->End(absl::UnavailableError("draining")); });
    std::thread canceller([&] { outbox->OnCancelled(); });
    waker.join();
    ender.join();
    canceller.join();
    ASSERT_EQ(writer.done.size(), 1u);
  }
}

// A drain that misses a stream, or one that comes during it, would wait for its deadline.
TEST_F(OutboxTest, AStreamSetEndsAllAndThoseToCome) {
  StreamSet set;
  auto membership = set.Add(outbox_);
  Start();
  EXPECT_EQ(set.size(), 1u);
  set.EndAll(absl::UnavailableError("draining"));
  EXPECT_THAT(writer_.done, ElementsAre("finish:14"));

  FakeWriter late_writer;
  auto late = std::make_shared<Outbox>(&late_writer, &scheduler_, &reporter_);
  auto late_membership = set.Add(late);
  EXPECT_THAT(late_writer.done, ElementsAre("finish:14"));
  membership.reset();
  late_membership.reset();
  EXPECT_EQ(set.size(), 0u);
}

}  // namespace
}  // namespace meshgate::server
