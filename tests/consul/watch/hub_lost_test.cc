// What an answer lacks and readers hold is told as deleted only where it is: Consul hides, without a word, what a token
// may not read any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;

class HubLostTest : public HubTest {
 protected:
  HubLostTest() { backend_.SetConfirmsItself(false); }

  static Target Prefix(std::string name) { return {TargetKind::kPrefix, std::move(name), "", ""}; }

  void AnswerPrefix(std::vector<KvEntry> entries, uint64_t index) {
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadPrefix, std::move(entries), index));
    scheduler_.RunReady();
  }
  void Confirm(Method method, std::vector<Presence> found) {
    ASSERT_TRUE(backend_.AnswerConfirm(method, std::move(found)));
    scheduler_.RunReady();
  }

  // A reader of "a/" that holds two keys.
  Stream Begin() {
    Stream stream = Open(Prefix("a/"));
    scheduler_.RunReady();
    AnswerPrefix({Entry("a/1", "x", 5), Entry("a/2", "y", 6)}, 6);
    EXPECT_THAT(stream.Read(), ElementsAre("snapshot", "+a/1=x", "+a/2=y"));
    return stream;
  }
};

// If it failed, deletions would be lost, or told before Consul has been asked about exactly the keys that are missing.
TEST_F(HubLostTest, TellsOfADeletionOnceItIsConfirmed) {
  Stream stream = Begin();
  AnswerPrefix({Entry("a/1", "z", 8)}, 8);
  EXPECT_THAT(stream.Read(), ElementsAre("-"));
  ASSERT_EQ(backend_.pending(Method::kConfirmKeysGone), 1u);
  EXPECT_THAT(backend_.pending()[0].keys, ElementsAre("a/2"));
  Confirm(Method::kConfirmKeysGone, {Presence::kGone});
  EXPECT_THAT(stream.Read(), ElementsAre("changes", "+a/1=z", "-a/2"));
  EXPECT_EQ(AskedIndex(), 8u);
}

// If it failed, a policy that was narrowed would delete keys that exist, from every reader.
TEST_F(HubLostTest, KeepsWhatConsulHidesAndSaysStale) {
  Stream stream = Begin();
  for (int i = 0; i < 2; ++i) {
    AnswerPrefix({Entry("a/1", "x", 5)}, 8);
    Confirm(Method::kConfirmKeysGone, {Presence::kHidden});
    scheduler_.Advance(absl::Seconds(5));
  }
  EXPECT_THAT(stream.Read(), ElementsAre("nothing", "stale"));
  // Nothing wakes a query when a policy changes: it must be a plain read.
  EXPECT_EQ(AskedIndex(), 0u);
  AnswerPrefix({Entry("a/1", "x", 5), Entry("a/2", "y", 6)}, 8);
  EXPECT_THAT(stream.Read(), ElementsAre("nothing"));
  EXPECT_EQ(reporter_.deletes, 0);
  EXPECT_EQ(reporter_.unconfirmed, 2);
}

// If it failed, an error would count as a confirmation, or stop the watch.
TEST_F(HubLostTest, ReadsAgainWhereNothingIsConfirmed) {
  Stream stream = Begin();
  AnswerPrefix({Entry("a/1", "x", 5)}, 8);
  ASSERT_TRUE(backend_.Fail(Method::kConfirmKeysGone, Away()));
  scheduler_.RunReady();
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_THAT(stream.Read(), ElementsAre("-"));
  EXPECT_EQ(AskedIndex(), 0u);
  AnswerPrefix({Entry("a/1", "x", 5)}, 8);
  Confirm(Method::kConfirmKeysGone, {Presence::kExists});
  scheduler_.Advance(absl::Seconds(2));
  AnswerPrefix({Entry("a/1", "x", 5)}, 8);
  Confirm(Method::kConfirmKeysGone, {Presence::kGone});
  EXPECT_THAT(stream.Read(), ElementsAre("changes", "-a/2"));
}

// If it failed, an answer that took long to be confirmed would be handed to a hub that has stopped.
TEST_F(HubLostTest, StopsWhileAsking) {
  Stream stream = Begin();
  AnswerPrefix({}, 8);
  ASSERT_EQ(backend_.pending(Method::kConfirmKeysGone), 1u);
  hub_->Shutdown();
  scheduler_.RunReady();
  EXPECT_EQ(backend_.pending(Method::kConfirmKeysGone), 0u);
  EXPECT_EQ(reporter_.deletes, 0);
}

// If it failed, a token that lost node:read would empty every service; or, with a filter, instances that have ceased to
// match it would stay for ever.
TEST_F(HubLostTest, AsksAboutInstances) {
  Instance instance;
  instance.id = "web-1";
  instance.service = "web";
  instance.node = "n";
  instance.create_index = instance.modify_index = 5;
  for (const bool filtered : {false, true}) {
    const Target target{TargetKind::kService, "web", "", filtered ? "Service.Port == 1" : ""};
    Stream stream = Open(target);
    scheduler_.RunReady();
    const int before = reporter_.deletes;
    ASSERT_TRUE(backend_.AnswerService({instance}, 5));
    scheduler_.RunReady();
    ASSERT_TRUE(backend_.AnswerService({}, 6));
    scheduler_.RunReady();
    ASSERT_EQ(backend_.pending(Method::kConfirmInstancesGone), 1u);
    Confirm(Method::kConfirmInstancesGone, {Presence::kExists});
    EXPECT_EQ(reporter_.deletes - before, filtered ? 1 : 0);
    if (filtered) continue;
    scheduler_.Advance(absl::Seconds(2));
    ASSERT_TRUE(backend_.AnswerService({}, 6));
    scheduler_.RunReady();
    Confirm(Method::kConfirmInstancesGone, {Presence::kGone});
    EXPECT_EQ(reporter_.deletes - before, 1);
    // The blocking query of this one is out of the way of the next.
    ASSERT_TRUE(backend_.Fail(Method::kReadService, MakeError(absl::StatusCode::kUnavailable, "", "")));
    scheduler_.RunReady();
  }
}

}  // namespace
}  // namespace meshgate::consul
