#include "client/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace meshgate::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::ConfigEvent Put(const std::string& key, const std::string& value, uint64_t index) {
  v1::ConfigEvent event;
  event.set_type(v1::ConfigEvent::TYPE_PUT);
  event.mutable_entry()->set_key(key);
  event.mutable_entry()->set_value(value);
  event.mutable_entry()->set_modify_index(index);
  return event;
}

v1::ConfigEvent Delete(const std::string& key) {
  v1::ConfigEvent event;
  event.set_type(v1::ConfigEvent::TYPE_DELETE);
  event.mutable_entry()->set_key(key);
  return event;
}

v1::WatchConfigResponse Response(bool snapshot, uint64_t index, const std::vector<v1::ConfigEvent>& events) {
  v1::WatchConfigResponse response;
  response.set_snapshot(snapshot);
  response.set_index(index);
  for (const auto& event : events) *response.add_events() = event;
  return response;
}

// "put a=1" or "delete a" for each.
std::vector<std::string> Texts(const absl::StatusOr<std::vector<v1::ConfigEvent>>& changes) {
  std::vector<std::string> texts;
  EXPECT_TRUE(changes.ok()) << changes.status();
  if (!changes.ok()) return texts;
  for (const auto& event : *changes) {
    texts.push_back(event.type() == v1::ConfigEvent::TYPE_PUT
                        ? "put " + event.entry().key() + "=" + event.entry().value()
                        : "delete " + event.entry().key());
  }
  return texts;
}

// Without it a reader would not get the state it subscribed to, or not know that it has.
TEST(ConfigStateTest, FirstSnapshotIsAllPuts) {
  ConfigState state;
  state.BeginStream(false);
  EXPECT_FALSE(state.known());
  EXPECT_THAT(Texts(state.Apply(Response(true, 7, {Put("a", "1", 5), Put("b", "2", 7)}))),
              ElementsAre("put a=1", "put b=2"));
  EXPECT_TRUE(state.known());
  EXPECT_EQ(state.index(), 7u);
  EXPECT_EQ(state.items().at("b").value(), "2");
}

// An absent key is a state like any other: a reader must be able to tell it from nothing being known yet.
TEST(ConfigStateTest, EmptySnapshotIsKnown) {
  ConfigState state;
  state.BeginStream(false);
  EXPECT_THAT(Texts(state.Apply(Response(true, 3, {}))), IsEmpty());
  EXPECT_TRUE(state.known());
}

// Differences that are not applied leave the copy wrong for ever.
TEST(ConfigStateTest, ChangesAreApplied) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 7, {Put("a", "1", 5), Put("b", "2", 7)})).ok());
  EXPECT_THAT(Texts(state.Apply(Response(false, 9, {Delete("a"), Put("c", "3", 9)}))),
              ElementsAre("delete a", "put c=3"));
  EXPECT_EQ(state.items().count("a"), 0u);
  EXPECT_EQ(state.items().size(), 2u);
  EXPECT_EQ(state.index(), 9u);
}

// After a reconnection a snapshot must not look like a rewrite of everything, nor hide what was deleted meanwhile.
TEST(ConfigStateTest, LaterSnapshotIsToldAsDifferences) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 7, {Put("a", "1", 5), Put("b", "2", 6), Put("c", "3", 7)})).ok());
  state.BeginStream(false);
  EXPECT_THAT(Texts(state.Apply(Response(true, 9, {Put("a", "1", 5), Put("b", "two", 9)}))),
              ElementsAre("delete c", "put b=two"));
  EXPECT_EQ(state.items().size(), 2u);
}

// A value written again with the same bytes has another modify index, which compare-and-set needs.
TEST(ConfigStateTest, SnapshotWithNewModifyIndexIsAChange) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 5, {Put("a", "1", 5)})).ok());
  EXPECT_THAT(Texts(state.Apply(Response(true, 2, {Put("a", "1", 2)}))), ElementsAre("put a=1"));
}

// Changes without a base would be applied to a state the gateway did not mean.
TEST(ConfigStateTest, ChangesBeforeASnapshotAreRefused) {
  ConfigState state;
  state.BeginStream(false);
  EXPECT_EQ(state.Apply(Response(false, 7, {Put("a", "1", 5)})).status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(state.items().empty());
}

// A resumed stream begins with changes: refusing them would make resuming useless.
TEST(ConfigStateTest, ResumedStreamMayBeginWithChanges) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 5, {Put("a", "1", 5)})).ok());
  state.BeginStream(true);
  EXPECT_THAT(Texts(state.Apply(Response(false, 6, {Delete("a")}))), ElementsAre("delete a"));
}

// A gateway that has never reached Consul says so first; treating that as an error would loop.
TEST(ConfigStateTest, StaleNoticeBeforeASnapshotIsAllowed) {
  ConfigState state;
  state.BeginStream(false);
  v1::WatchConfigResponse notice;
  notice.set_stale(true);
  EXPECT_THAT(Texts(state.Apply(notice)), IsEmpty());
  EXPECT_TRUE(state.stale());
  EXPECT_FALSE(state.known());
}

// Staleness is not deletion: the last state stays.
TEST(ConfigStateTest, StaleKeepsTheState) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 5, {Put("a", "1", 5)})).ok());
  v1::WatchConfigResponse notice = Response(false, 5, {});
  notice.set_stale(true);
  EXPECT_THAT(Texts(state.Apply(notice)), IsEmpty());
  EXPECT_TRUE(state.stale());
  EXPECT_EQ(state.items().size(), 1u);
}

// An event of a kind added later must not be mistaken for a write.
TEST(ConfigStateTest, UnknownEventTypeIsRefusedWhole) {
  ConfigState state;
  state.BeginStream(false);
  ASSERT_TRUE(state.Apply(Response(true, 5, {Put("a", "1", 5)})).ok());
  v1::ConfigEvent odd = Put("b", "2", 6);
  odd.set_type(static_cast<v1::ConfigEvent::Type>(17));
  EXPECT_FALSE(state.Apply(Response(false, 6, {Delete("a"), odd})).ok());
  EXPECT_EQ(state.items().count("a"), 1u);
}

// Progress without a token must not throw away the one we could resume with.
TEST(ConfigStateTest, TokenStandsUntilAnotherComes) {
  ConfigState state;
  state.BeginStream(false);
  v1::WatchConfigResponse first = Response(true, 5, {});
  first.set_resume_token("t5");
  ASSERT_TRUE(state.Apply(first).ok());
  ASSERT_TRUE(state.Apply(Response(false, 5, {})).ok());
  EXPECT_EQ(state.resume_token(), "t5");
}

// Two nodes may run instances of one id: losing one must not remove the other.
TEST(ServiceStateTest, InstancesAreKnownByNodeAndId) {
  ServiceState state;
  state.BeginStream(false);
  v1::WatchServiceResponse snapshot;
  snapshot.set_snapshot(true);
  for (const char* node : {"n1", "n2"}) {
    auto* event = snapshot.add_events();
    event->set_type(v1::ServiceEvent::TYPE_PUT);
    event->mutable_instance()->set_node(node);
    event->mutable_instance()->mutable_instance()->set_id("web");
  }
  ASSERT_TRUE(state.Apply(snapshot).ok());
  ASSERT_EQ(state.items().size(), 2u);

  v1::WatchServiceResponse change;
  auto* event = change.add_events();
  event->set_type(v1::ServiceEvent::TYPE_DELETE);
  event->mutable_instance()->set_node("n1");
  event->mutable_instance()->mutable_instance()->set_id("web");
  ASSERT_TRUE(state.Apply(change).ok());
  ASSERT_EQ(state.items().size(), 1u);
  EXPECT_EQ(state.items().begin()->second.node(), "n2");
}

}  // namespace
}  // namespace meshgate::client
