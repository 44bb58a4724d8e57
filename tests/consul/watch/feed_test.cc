#include "consul/watch/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/watch/resume_token.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

KvEntry Entry(std::string key, std::string value, uint64_t modify, uint64_t create = 1) {
  return {std::move(key), std::move(value), 0, create, modify};
}

SharedState Entries(std::vector<KvEntry> entries) {
  auto state = std::make_shared<State>();
  state->entries = std::move(entries);
  return state;
}

SharedState Instances(std::vector<Instance> instances) {
  auto state = std::make_shared<State>();
  state->instances = std::move(instances);
  return state;
}

Instance Web(std::string id, Health health, std::vector<std::string> tags = {}) {
  Instance instance;
  instance.id = std::move(id);
  instance.service = "web";
  instance.node = "n1";
  instance.tags = std::move(tags);
  instance.health = health;
  return instance;
}

v1::WatchConfigResponse Parse(const SharedMessage& message) {
  v1::WatchConfigResponse response;
  EXPECT_TRUE(message != nullptr && response.ParseFromString(message->bytes));
  return response;
}

v1::WatchServiceResponse ParseService(const SharedMessage& message) {
  v1::WatchServiceResponse response;
  EXPECT_TRUE(message != nullptr && response.ParseFromString(message->bytes));
  return response;
}

// "+key=value" and "-key".
std::vector<std::string> Events(const v1::WatchConfigResponse& response) {
  std::vector<std::string> events;
  for (const auto& event : response.events()) {
    events.push_back(event.type() == v1::ConfigEvent::TYPE_PUT ? "+" + event.entry().key() + "=" + event.entry().value()
                                                               : "-" + event.entry().key());
  }
  return events;
}

std::vector<std::string> Events(const v1::WatchServiceResponse& response) {
  std::vector<std::string> events;
  for (const auto& event : response.events()) {
    events.push_back((event.type() == v1::ServiceEvent::TYPE_PUT ? "+" : "-") + event.instance().instance().id());
  }
  return events;
}

class FeedTest : public ::testing::Test {
 protected:
  SharedMessage Next(Feed::Mark& mark) { return feed_.Next(mark, kNow, merged_); }
  bool Publish(std::vector<KvEntry> entries, uint64_t index, bool lost = false) {
    return feed_.Publish(Entries(std::move(entries)), nullptr, index, kNow, lost);
  }

  Feed feed_{TargetKind::kPrefix, View{}, /*ring_events=*/8, /*ring_bytes=*/1 << 16};
  Feed::Mark mark_;
  int64_t merged_ = 0;
};

// A reader's first message must be the whole state, also when there is nothing in it.
TEST_F(FeedTest, BeginsWithASnapshotEvenOfNothing) {
  EXPECT_EQ(Next(mark_), nullptr);
  EXPECT_TRUE(Publish({}, 5));
  const auto response = Parse(Next(mark_));
  EXPECT_TRUE(response.snapshot());
  EXPECT_EQ(response.index(), 5u);
  EXPECT_THAT(Events(response), IsEmpty());
  EXPECT_EQ(Next(mark_), nullptr);
}

// All changes of one answer belong into one message, a deletion as a deletion.
TEST_F(FeedTest, TellsTheDifferenceOnce) {
  Publish({Entry("a", "1", 2), Entry("b", "1", 3), Entry("c", "1", 3)}, 3);
  Next(mark_);
  EXPECT_TRUE(Publish({Entry("b", "2", 9), Entry("c", "1", 3), Entry("d", "1", 9)}, 9));
  const auto response = Parse(Next(mark_));
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(response.index(), 9u);
  EXPECT_THAT(Events(response), ElementsAre("-a", "+b=2", "+d=1"));
  EXPECT_EQ(Next(mark_), nullptr);
}

// An index that moves over an unchanged state must not be told: Consul wakes for reasons of its own.
TEST_F(FeedTest, SaysNothingOfAnUnchangedState) {
  Publish({Entry("a", "1", 2)}, 3);
  Next(mark_);
  EXPECT_FALSE(Publish({Entry("a", "1", 2)}, 40));
  EXPECT_EQ(Next(mark_), nullptr);
}

// Deleted and created again between two answers: only the create index shows it.
TEST_F(FeedTest, SeesARecreatedKey) {
  Publish({Entry("a", "1", 2, 2)}, 3);
  Next(mark_);
  EXPECT_TRUE(Publish({Entry("a", "1", 9, 9)}, 9));
  EXPECT_THAT(Events(Parse(Next(mark_))), ElementsAre("+a=1"));
}

// Two readers at the same mark get the same bytes, not two encodings of them.
TEST_F(FeedTest, EncodesOnceForAll) {
  Feed::Mark other;
  Publish({Entry("a", "1", 2)}, 3);
  EXPECT_EQ(Next(mark_), Next(other));
  Publish({Entry("a", "2", 4)}, 4);
  EXPECT_EQ(Next(mark_), Next(other));
}

// A lagging reader gets each key's last state once, and nothing of keys that came and went without it.
TEST_F(FeedTest, MergesForALaggingReader) {
  Publish({Entry("a", "1", 2), Entry("z", "1", 2)}, 3);
  Next(mark_);
  Publish({Entry("a", "2", 4), Entry("z", "1", 2)}, 4);
  Publish({Entry("a", "3", 5), Entry("b", "1", 5), Entry("z", "1", 2)}, 5);
  Publish({Entry("a", "3", 5)}, 6);
  const auto response = Parse(Next(mark_));
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+a=3", "-z"));
  // a twice, b twice, z once were seen; two were told.
  EXPECT_EQ(merged_, 3);
}

// Changes that undo each other leave nothing to tell.
TEST_F(FeedTest, SaysNothingWhereChangesCancelOut) {
  Publish({}, 3);
  Next(mark_);
  Publish({Entry("a", "1", 4)}, 4);
  Publish({}, 5);
  EXPECT_EQ(Next(mark_), nullptr);
}

// A reader further behind than the ring must get everything, never a hole.
TEST_F(FeedTest, FallsBackToASnapshotBeyondTheRing) {
  Publish({Entry("a", "0", 1)}, 1);
  Next(mark_);
  for (uint64_t i = 2; i < 20; ++i) Publish({Entry("a", std::to_string(i), i)}, i);
  const auto response = Parse(Next(mark_));
  EXPECT_TRUE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+a=19"));
}

// The ring must reach back exactly as far as it says: eight events.
TEST_F(FeedTest, KeepsTheRingsWorthOfChanges) {
  Publish({Entry("a", "0", 1)}, 1);
  Next(mark_);
  for (uint64_t i = 2; i < 10; ++i) Publish({Entry("a", std::to_string(i), i)}, i);
  EXPECT_FALSE(Parse(Next(mark_)).snapshot());
}

// After a loss of data the next message replaces what the reader holds.
TEST_F(FeedTest, SendsASnapshotWhenContinuityIsLost) {
  Publish({Entry("a", "1", 50)}, 50);
  Next(mark_);
  Publish({Entry("b", "1", 60)}, 60, /*lost=*/true);
  const auto response = Parse(Next(mark_));
  EXPECT_TRUE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+b=1"));
}

// The API promises that an index goes back only in a snapshot.
TEST_F(FeedTest, SendsASnapshotWhenTheIndexGoesBack) {
  Publish({Entry("a", "1", 50)}, 50);
  Next(mark_);
  Publish({Entry("a", "2", 7)}, 7);
  EXPECT_TRUE(Parse(Next(mark_)).snapshot());
}

// Losing Consul is told once, getting it back once, and neither looks like a change.
TEST_F(FeedTest, TellsOfStalenessAndRecoveryOnce) {
  Publish({Entry("a", "1", 2)}, 3);
  Next(mark_);
  EXPECT_TRUE(feed_.SetStale(kNow - absl::Seconds(5)));
  EXPECT_FALSE(feed_.SetStale(kNow));
  auto response = Parse(Next(mark_));
  EXPECT_TRUE(response.stale());
  EXPECT_EQ(response.stale_for().seconds(), 5);
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), IsEmpty());
  EXPECT_EQ(Next(mark_), nullptr);

  EXPECT_TRUE(feed_.SetStale(std::nullopt));
  response = Parse(Next(mark_));
  EXPECT_FALSE(response.stale());
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), IsEmpty());
  EXPECT_EQ(Next(mark_), nullptr);
}

// What changed during an outage comes with the news that it is over.
TEST_F(FeedTest, RecoversWithTheChange) {
  Publish({Entry("a", "1", 2)}, 3);
  Next(mark_);
  feed_.SetStale(kNow);
  Next(mark_);
  feed_.SetStale(std::nullopt);
  Publish({Entry("a", "2", 8)}, 8);
  const auto response = Parse(Next(mark_));
  EXPECT_FALSE(response.stale());
  EXPECT_THAT(Events(response), ElementsAre("+a=2"));
  EXPECT_EQ(Next(mark_), nullptr);
}

// A reader that comes while Consul is away and nothing is known must hear that, and must not take it for an empty
// state.
TEST_F(FeedTest, SaysThatNothingIsKnownYet) {
  feed_.SetStale(kNow);
  auto response = Parse(Next(mark_));
  EXPECT_TRUE(response.stale());
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(Next(mark_), nullptr);
  feed_.SetStale(std::nullopt);
  Publish({Entry("a", "1", 2)}, 3);
  response = Parse(Next(mark_));
  EXPECT_TRUE(response.snapshot());
  EXPECT_FALSE(response.stale());
}

// A sign of life is for readers that are up to date; others get what they miss instead.
TEST_F(FeedTest, ProgressCarriesNoEvents) {
  EXPECT_EQ(feed_.Progress(mark_, kNow), nullptr);
  Publish({Entry("a", "1", 2)}, 3);
  EXPECT_EQ(feed_.Progress(mark_, kNow), nullptr);
  Next(mark_);
  const auto response = Parse(feed_.Progress(mark_, kNow));
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(response.index(), 3u);
  EXPECT_THAT(Events(response), IsEmpty());
}

// Where a reader was, as it would say it when it comes back.
Feed::Mark Resuming(const v1::WatchConfigResponse& response) {
  Feed::Mark mark;
  const auto token = ResumeToken::Parse(response.resume_token());
  EXPECT_TRUE(token.has_value()) << response.resume_token();
  if (token.has_value()) mark.resume = *token;
  return mark;
}

// A reader that comes back to an unchanged state gets nothing but the word that it is so.
TEST_F(FeedTest, ResumesAnUnchangedStateWithoutEvents) {
  Publish({Entry("a", "1", 2)}, 3);
  Feed::Mark back = Resuming(Parse(Next(mark_)));
  const auto response = Parse(Next(back));
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), IsEmpty());
  EXPECT_EQ(Next(back), nullptr);
}

// A reader that comes back within the ring gets just what changed since.
TEST_F(FeedTest, ResumesWithTheDifference) {
  Publish({Entry("a", "1", 2), Entry("b", "1", 2)}, 3);
  Feed::Mark back = Resuming(Parse(Next(mark_)));
  Publish({Entry("a", "2", 4), Entry("b", "1", 2)}, 4);
  Publish({Entry("a", "2", 4), Entry("c", "1", 5)}, 5);
  const auto response = Parse(Next(back));
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+a=2", "-b", "+c=1"));
}

// Another gateway, or the same one after a restart, knows the state by its digest alone, whatever its index.
TEST_F(FeedTest, ResumesOnAnotherGateway) {
  Publish({Entry("a", "1", 2), Entry("b", "1", 2)}, 3);
  Publish({Entry("a", "1", 2), Entry("b", "2", 9)}, 9);
  Feed other(TargetKind::kPrefix, View{}, 8, 1 << 16);
  other.Publish(Entries({Entry("a", "1", 2), Entry("b", "2", 9)}), nullptr, 4711, kNow, false);
  Feed::Mark back = Resuming(Parse(Next(mark_)));
  const auto response = Parse(other.Next(back, kNow, merged_));
  EXPECT_FALSE(response.snapshot());
  EXPECT_THAT(Events(response), IsEmpty());
}

// A reader that has seen a store come back empty goes on at a gateway that has not: what is lost would come back to it
// without a word, because nothing equals the nothing of that gateway's past.
TEST_F(FeedTest, IsNotLedBackByAStateThatEqualsOneFromBeforeALoss) {
  Publish({}, 11);
  Publish({Entry("a", "1", 12)}, 12);
  Publish({Entry("a", "1", 12), Entry("b", "1", 30)}, 207);
  feed_.SetStale(kNow);
  Feed other(TargetKind::kPrefix, View{}, 8, 1 << 16);
  other.Publish(Entries({}), nullptr, 25, kNow, /*continuity_lost=*/true);
  const Feed::Mark back = Resuming(Parse(other.Next(mark_, kNow, merged_)));
  Feed::Mark mark = back;
  auto response = Parse(Next(mark));
  EXPECT_TRUE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+a=1", "+b=1"));
  // Of what there is now, nothing need be as old.
  Publish({Entry("b", "1", 30)}, 208);
  mark = back;
  response = Parse(Next(mark));
  EXPECT_TRUE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+b=1"));
}

// The same of instances, whose indexes say nothing.
TEST(ServiceFeedTest, IsNotLedBackByAStateThatEqualsOneFromBeforeALoss) {
  Feed one(TargetKind::kService, View{}, 8, 1 << 16), other(TargetKind::kService, View{}, 8, 1 << 16);
  one.Publish(Instances({}), nullptr, 11, kNow, false);
  one.Publish(Instances({Web("w1", Health::kPassing)}), nullptr, 207, kNow, false);
  one.SetStale(kNow);
  other.Publish(Instances({}), nullptr, 25, kNow, /*continuity_lost=*/true);
  Feed::Mark mark;
  int64_t merged = 0;
  const auto token = ResumeToken::Parse(ParseService(other.Next(mark, kNow, merged)).resume_token());
  ASSERT_TRUE(token.has_value());
  Feed::Mark back;
  back.resume = *token;
  const auto response = ParseService(one.Next(back, kNow, merged));
  EXPECT_TRUE(response.snapshot());
  EXPECT_THAT(Events(response), ElementsAre("+w1"));
}

// A state that is not known any more, or never was, is answered with everything.
TEST_F(FeedTest, ResumesAnUnknownStateWithASnapshot) {
  Publish({Entry("a", "0", 1)}, 1);
  Feed::Mark back = Resuming(Parse(Next(mark_)));
  Feed::Mark lost = back;
  for (uint64_t i = 2; i < 20; ++i) Publish({Entry("a", std::to_string(i), i)}, i);
  EXPECT_TRUE(Parse(Next(back)).snapshot());
  Publish({Entry("a", "0", 1)}, 1, /*lost=*/true);
  Publish({Entry("b", "0", 2)}, 2, /*lost=*/true);
  EXPECT_TRUE(Parse(Next(lost)).snapshot());
}

// The state may come after the reader: what it holds is not forgotten meanwhile, nor while Consul is away.
TEST_F(FeedTest, ResumesOnceTheStateIsKnown) {
  Publish({Entry("a", "1", 2)}, 3);
  Feed::Mark back = Resuming(Parse(Next(mark_)));
  Feed other(TargetKind::kPrefix, View{}, 8, 1 << 16);
  EXPECT_EQ(other.Next(back, kNow, merged_), nullptr);
  other.SetStale(kNow);
  EXPECT_TRUE(Parse(other.Next(back, kNow, merged_)).stale());
  other.SetStale(std::nullopt);
  other.Publish(Entries({Entry("a", "1", 2)}), nullptr, 3, kNow, false);
  const auto response = Parse(other.Next(back, kNow, merged_));
  EXPECT_FALSE(response.snapshot());
  EXPECT_FALSE(response.stale());
}

// An instance that fails its check must leave the view of those who want healthy ones, as a deletion.
TEST(ServiceFeedTest, FiltersByHealthAndTags) {
  Feed healthy(TargetKind::kService, View{{"v2"}, false}, 8, 1 << 16);
  Feed all(TargetKind::kService, View{{}, true}, 8, 1 << 16);
  Feed::Mark healthy_mark;
  Feed::Mark all_mark;
  int64_t merged = 0;
  auto state = Instances({Web("1", Health::kPassing, {"v1"}), Web("2", Health::kPassing, {"v2"}),
                          Web("3", Health::kWarning, {"v2"}), Web("4", Health::kPassing, {"a", "v2"})});
  healthy.Publish(state, nullptr, 3, kNow, false);
  all.Publish(state, nullptr, 3, kNow, false);
  EXPECT_THAT(Events(ParseService(healthy.Next(healthy_mark, kNow, merged))), ElementsAre("+2", "+4"));
  EXPECT_THAT(Events(ParseService(all.Next(all_mark, kNow, merged))), ElementsAre("+1", "+2", "+3", "+4"));

  state = Instances({Web("1", Health::kPassing, {"v1"}), Web("2", Health::kCritical, {"v2"}),
                     Web("3", Health::kPassing, {"v2"}), Web("4", Health::kPassing, {"a", "v2"})});
  EXPECT_TRUE(healthy.Publish(state, nullptr, 9, kNow, false));
  EXPECT_TRUE(all.Publish(state, nullptr, 9, kNow, false));
  EXPECT_THAT(Events(ParseService(healthy.Next(healthy_mark, kNow, merged))), ElementsAre("-2", "+3"));
  const auto response = ParseService(all.Next(all_mark, kNow, merged));
  EXPECT_THAT(Events(response), ElementsAre("+2", "+3"));
  EXPECT_EQ(response.events(0).instance().status(), v1::HEALTH_STATUS_CRITICAL);

  // A change outside of a view is not news for it.
  state = Instances({Web("1", Health::kCritical, {"v1"}), Web("2", Health::kCritical, {"v2"}),
                     Web("3", Health::kPassing, {"v2"}), Web("4", Health::kPassing, {"a", "v2"})});
  EXPECT_FALSE(healthy.Publish(state, nullptr, 12, kNow, false));
  EXPECT_TRUE(all.Publish(state, nullptr, 12, kNow, false));
}

// The same id may live on two nodes; a deletion names the one that went.
TEST(ServiceFeedTest, TellsInstancesOfTwoNodesApart) {
  Feed feed(TargetKind::kService, View{{}, true}, 8, 1 << 16);
  Feed::Mark mark;
  int64_t merged = 0;
  Instance first = Web("web", Health::kPassing);
  Instance second = first;
  second.node = "n2";
  feed.Publish(Instances({first, second}), nullptr, 3, kNow, false);
  feed.Next(mark, kNow, merged);
  feed.Publish(Instances({second}), nullptr, 4, kNow, false);
  const auto response = ParseService(feed.Next(mark, kNow, merged));
  ASSERT_THAT(Events(response), ElementsAre("-web"));
  EXPECT_EQ(response.events(0).instance().node(), "n1");
}

}  // namespace
}  // namespace meshgate::consul
