// Readers that come back to a hub which knows less than they do, and stores that go back behind a higher index.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consul/watch/resume_token.h"
#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;

class HubResumeTest : public HubTest {
 protected:
  // Comes with a state that another gateway told at this index.
  Stream Return(std::vector<KvEntry> holds, uint64_t index) {
    State state;
    state.entries = std::move(holds);
    Stream stream(&thread_);
    stream.subscription = hub_->Subscribe(Key("a"), View{}, ResumeToken{index, DigestOf(TargetKind::kKey, state)},
                                          stream.subscriber.get());
    scheduler_.RunReady();
    return stream;
  }
};

// Two gateways hear of a change milliseconds apart: a reader that goes from the faster to the slower would be led back.
TEST_F(HubResumeTest, AReaderIsNotLedBackByASlowerGateway) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Stream back = Return({Entry("a", "2", 9)}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  Answer({Entry("a", "2", 9)}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("nothing"));
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  Answer({Entry("a", "2", 9)}, 9);  // What a quorum says of it comes too late to matter.
  EXPECT_THAT(back.Read(), ElementsAre("-"));
}

// A key that came and went leaves the state from before: known, but not the one that the reader was at.
TEST_F(HubResumeTest, NorByOneThatKnowsTheStateFromBefore) {
  Stream s = Open(Key("a"));
  Answer({}, 3);
  Answer({Entry("a", "1", 5)}, 5);
  Stream back = Return({}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  Answer({}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("nothing"));
}

// A leader that has just been elected may answer before it knows what its predecessor has told: readers would be led
// back, and on again.
TEST_F(HubResumeTest, AnIndexThatGoesBackIsBelievedOfAQuorumOnly) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "2", 9)}, 9);
  s.Read();
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  ASSERT_EQ(backend_.pending().size(), 1u);
  EXPECT_EQ(backend_.pending()[0].read.index, 0u);
  EXPECT_EQ(backend_.pending()[0].read.mode, ReadMode::kConsistent);
  Answer({Entry("a", "2", 9)}, 9);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_EQ(reporter_.resets, 0);
  for (int i = 0; i < 2; ++i) {
    scheduler_.Advance(absl::Seconds(1));
    Answer({Entry("a", "1", 5)}, 5);
  }
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
  EXPECT_EQ(reporter_.resets, 1);
}

// Where Consul lost what the reader holds there is nothing to wait for: the truth is the older state.
TEST_F(HubResumeTest, AQuorumThatWentBackEndsTheWait) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Stream back = Return({Entry("a", "2", 9)}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  // The watch, which was asked first, returns early and is asked again.
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  const int wakes = back.subscriber->wakes;
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_GT(back.subscriber->wakes, wakes);
  EXPECT_THAT(back.Read(), ElementsAre("snapshot", "+a=1"));
}

// A key that came and went while nobody here looked: Consul's index has moved on and the state is what it was, so that
// the watch has nothing more to tell.
TEST_F(HubResumeTest, AQuorumThatSeesWhatIsHereEndsTheWait) {
  Stream s = Open(Key("a"));
  Answer({}, 5);
  Answer({}, 12);
  Stream back = Return({Entry("a", "1", 9)}, 9);
  EXPECT_THAT(back.Read(), ElementsAre("-"));
  // The watch, which was asked first.
  Answer({}, 12);
  const int wakes = back.subscriber->wakes;
  Answer({}, 12);
  EXPECT_GT(back.subscriber->wakes, wakes);
  EXPECT_THAT(back.Read(), ElementsAre("snapshot"));
}

// Nor may a reader wait for ever, or past the news that Consul is away.
TEST_F(HubResumeTest, TheWaitIsBounded) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Stream slow = Return({Entry("a", "2", 9)}, 9);
  scheduler_.Advance(absl::Seconds(29));
  EXPECT_THAT(slow.Read(), ElementsAre("-"));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(slow.subscriber->wakes, 1);
  EXPECT_THAT(slow.Read(), ElementsAre("snapshot", "+a=1"));
  Stream left = Return({Entry("a", "2", 9)}, 9);
  left.subscription.reset();

  Stream away = Return({Entry("a", "2", 9)}, 9);
  EXPECT_THAT(away.Read(), ElementsAre("-"));
  Fail(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "no answer"));
  EXPECT_THAT(away.Read(), ElementsAre("snapshot", "stale", "+a=1"));
  scheduler_.Advance(absl::Seconds(31));
}

// A snapshot was restored, and others wrote until the index was higher than before: still an earlier time, which
// readers are told by a snapshot and not as a change.
TEST_F(HubResumeTest, AnEarlierTimeIsASnapshotWhateverTheIndex) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "2", 9)}, 9);
  s.Read();
  Answer({Entry("a", "1", 5)}, 20);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
  Answer({Entry("a", "3", 21)}, 21);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "+a=3"));
}

}  // namespace
}  // namespace meshgate::consul
