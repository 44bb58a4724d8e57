#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;

// The reason for meshgate: two hundred readers are one query.
TEST_F(HubTest, AsksOnceForAllReadersOfATarget) {
  std::vector<Stream> streams;
  for (int i = 0; i < 200; ++i) streams.push_back(Open(Key("a")));
  EXPECT_EQ(backend_.pending().size(), 1u);
  EXPECT_EQ(reporter_.upstream, 1);
  EXPECT_EQ(reporter_.streams, 200);
  Answer({Entry("a", "1", 5)}, 5);
  for (auto& s : streams) {
    EXPECT_GE(s.subscriber->wakes, 1);
    EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
  }
  EXPECT_EQ(AskedIndex(), 5u);
  streams.clear();
  EXPECT_EQ(reporter_.streams, 0);
}

// A different datacenter, filter or kind is a different question.
TEST_F(HubTest, DifferentTargetsDontShare) {
  Stream a = Open(Key("a"));
  Stream b = Open({TargetKind::kKey, "a", "dc2", ""});
  Stream c = Open({TargetKind::kPrefix, "a", "", ""});
  EXPECT_EQ(backend_.pending().size(), 3u);
  EXPECT_EQ(reporter_.upstream, 3);
}

// A late reader gets the state at once, from memory.
TEST_F(HubTest, ALateReaderGetsTheStateWithoutAsking) {
  Stream first = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Stream second = Open(Key("a"));
  EXPECT_THAT(second.Read(), ElementsAre("snapshot", "+a=1"));
  EXPECT_EQ(backend_.calls().size(), 2u);
}

// Changes, a deletion, and a return that brings nothing new.
TEST_F(HubTest, TellsChangesAndNothingElse) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  Answer({Entry("a", "2", 6)}, 6);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "+a=2"));
  s.subscriber->wakes = 0;
  Answer({Entry("a", "2", 6)}, 9);
  EXPECT_EQ(s.subscriber->wakes, 0);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_EQ(reporter_.spurious, 1);
  scheduler_.Advance(absl::Seconds(1));
  Answer({}, 10);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "-a"));
  EXPECT_EQ(reporter_.puts, 1);
  EXPECT_EQ(reporter_.deletes, 1);
}

// After a burst the loop waits for its pace: a target that returns at once each time must not spin. Each second has a
// blocking query and, its index being old by then, a plain read.
TEST_F(HubTest, PacesReturnsThatBringNothing) {
  Stream s = Open(Key("a"));
  Answer({}, 5);
  // In ten seconds of an agent that answers every query at once with a higher index.
  uint64_t index = 6;
  const size_t before = backend_.calls().size();
  for (int i = 0; i < 1000; ++i) {
    if (backend_.pending(Method::kReadKey) > 0) Answer({}, index++);
    scheduler_.Advance(absl::Milliseconds(10));
  }
  EXPECT_LE(backend_.calls().size() - before, 25u);
  EXPECT_GE(backend_.calls().size() - before, 16u);
}

// Would break if a loop that had paused went on with the index it had: the agent may have been lost and be back, empty,
// and a query for an index that it has yet to reach wakes for nothing.
TEST_F(HubTest, AsksPlainlyAfterAPause) {
  Stream s = Open(Key("a"));
  Answer({}, 5);
  uint64_t index = 500;
  while (backend_.pending(Method::kReadKey) > 0) {
    Answer({}, index++);
    scheduler_.Advance(absl::Milliseconds(20));
  }
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(AskedIndex(), 0u);
  Answer({}, 7);
  EXPECT_EQ(AskedIndex(), 0u) << "an index that goes back is believed from a quorum alone";
  Answer({}, 7);
  EXPECT_EQ(AskedIndex(), 7u);
}

// One failed query is not an outage; the second in a row is, told once, as is its end.
TEST_F(HubTest, TellsAnOutageOnce) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  Fail(Away());
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  for (int i = 0; i < 5; ++i) {
    scheduler_.Advance(absl::Seconds(3));
    EXPECT_EQ(AskedIndex(), 0u) << "after a failure the next read is plain";
    Fail(Away());
  }
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("nothing"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// A store that came back empty: the reader's state is replaced, not deleted key by key.
TEST_F(HubTest, ALossOfDataIsASnapshot) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 500)}, 500);
  s.Read();
  Fail(Away());
  scheduler_.Advance(absl::Seconds(3));
  Answer({}, 1);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot"));
  EXPECT_EQ(reporter_.resets, 1);
  EXPECT_EQ(AskedIndex(), 1u);
}

// A tombstone reaped: the index goes down, the data stay, and nobody hears of it.
TEST_F(HubTest, AnIndexThatGoesDownOverTheSameDataIsNoNews) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 90);
  s.Read();
  Answer({Entry("a", "1", 5)}, 40);
  EXPECT_EQ(AskedIndex(), 0u);
  Answer({Entry("a", "1", 5)}, 40);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// An agent that stops answers early with what it had; that answer must not count.
TEST_F(HubTest, DoesNotBelieveAnEarlyReturnWithTheSameIndex) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "new", 5)}, 5);
  s.Read();
  Answer({Entry("a", "old", 4)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_EQ(AskedIndex(), 0u);
}

// With nothing known and Consul away a stream says so and stays.
TEST_F(HubTest, AReaderOfAnUnreachableConsulIsToldAndKept) {
  Stream s = Open(Key("a"));
  Fail(Away());
  EXPECT_GE(s.subscriber->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
}

// Some errors don't mend by trying: the readers get them, and a later reader a new try.
TEST_F(HubTest, ATargetThatCannotBeWatchedEndsItsStreams) {
  Stream s = Open(Key("a"));
  Fail(MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidFilter, "filter: does not parse"));
  EXPECT_GE(s.subscriber->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("error: filter: does not parse"));
  EXPECT_EQ(backend_.pending().size(), 0u);
  EXPECT_EQ(reporter_.upstream, 0);
  Stream again = Open(Key("a"));
  EXPECT_EQ(backend_.pending().size(), 1u);
}

// Losing the permission while a state is known is an outage, not a deletion and not the end.
TEST_F(HubTest, ALostPermissionIsNotADeletion) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  for (int i = 0; i < 2; ++i) {
    Fail(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "Permission denied"));
    scheduler_.Advance(absl::Seconds(3));
  }
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
}

// Without the linger a reconnecting reader would cost a query, and each cancelled one a slot of Consul's.
TEST_F(HubTest, LingersAfterTheLastReader) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.subscription.reset();
  scheduler_.Advance(absl::Seconds(29));
  EXPECT_EQ(reporter_.upstream, 1);
  Stream back = Open(Key("a"));
  EXPECT_THAT(back.Read(), ElementsAre("snapshot", "+a=1"));
  // In use again: the old timer must not stop it.
  scheduler_.Advance(absl::Seconds(60));
  EXPECT_EQ(reporter_.upstream, 1);
  back.subscription.reset();
  scheduler_.Advance(absl::Seconds(29));
  EXPECT_EQ(reporter_.upstream, 1);
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_EQ(reporter_.upstream, 0);
  EXPECT_EQ(backend_.pending().size(), 0u);
}

// Readers that come and go by the thousand must not leave a timer each.
TEST_F(HubTest, ComingAndGoingLeavesNoTimers) {
  Stream keep = Open(Key("b"));
  const size_t before = scheduler_.pending_timers();
  for (int i = 0; i < 1000; ++i) Open(Key("a"));
  EXPECT_LE(scheduler_.pending_timers(), before + 1);
}

// A remote datacenter that can't be reached is unknown to Consul: with a state in hand that is an outage.
TEST_F(HubTest, AnUnknownDatacenterEndsNoStreamThatHasAState) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  for (int i = 0; i < 2; ++i) {
    Fail(MakeError(absl::StatusCode::kNotFound, reason::kDatacenterNotFound, "No path to datacenter"));
    scheduler_.Advance(absl::Seconds(3));
  }
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
}

// An agent that hangs is noticed with the first query that outlives its wait.
TEST_F(HubTest, AnAgentThatHangsIsStaleAtOnce) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  Fail(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "no answer"));
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
}

// A drain must not leave callers waiting, queries open, or subscriptions that crash.
TEST_F(HubTest, ShutdownEndsEverything) {
  Stream s = Open(Key("a"));
  Read(Key("b"));
  EXPECT_FALSE(read_.has_value());
  hub_->Shutdown();
  scheduler_.RunReady();
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "DRAINING");
  EXPECT_EQ(reporter_.upstream, 0);
  EXPECT_EQ(backend_.pending().size(), 0u);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  {
    Stream late = Open(Key("c"));
    EXPECT_THAT(late.Read(), ElementsAre("-"));
  }
  scheduler_.Advance(absl::Minutes(5));
  EXPECT_EQ(reporter_.upstream, 0);
  EXPECT_EQ(backend_.pending().size(), 0u);
  Read(Key("a"));
  EXPECT_EQ(ReasonOf(read_->status()), "DRAINING");
}

// Would break if watches went on to knock at a Consul that is away in place of waiting for it, or readers learned of
// its loss late because the first tries waited, too.
TEST_F(HubTest, WaitsForConsulFromTheThirdTryOn) {
  Stream stream = Open(Key("a"));
  for (const bool patient : {false, false, true, true}) {
    const auto pending = backend_.pending();
    ASSERT_EQ(pending.size(), 1u);
    EXPECT_EQ(pending[0].read.patient, patient);
    Fail(Away());
    scheduler_.Advance(absl::Seconds(2));
  }
  Answer({}, 7);
  EXPECT_FALSE(backend_.pending().at(0).read.patient) << "it is there again";
}

}  // namespace
}  // namespace meshgate::consul
