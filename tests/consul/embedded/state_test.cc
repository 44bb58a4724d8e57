// The rules of indexes and writes, without threads and disk.
#include <string>
#include <vector>

#include "consul/base/errors.h"
#include "consul/embedded/transaction.h"
#include "gtest/gtest.h"

namespace meshgate::consul::embedded {
namespace {

class StateTest : public ::testing::Test {
 protected:
  // Runs one transaction and applies it.
  template <typename Writes>
  void Commit(Writes writes) {
    Transaction transaction(&state_);
    writes(transaction);
    for (const Mutation& mutation : transaction.mutations()) Apply(mutation, state_);
    EXPECT_EQ(state_.index, transaction.index());
  }

  uint64_t Put(const std::string& key, const std::string& value = "v") {
    Commit([&](Transaction& t) { EXPECT_TRUE(t.Put(Entry(key, value), std::nullopt).ok()); });
    return state_.index;
  }
  uint64_t Delete(const std::string& key) {
    Commit([&](Transaction& t) { EXPECT_TRUE(t.Delete(key, std::nullopt).ok()); });
    return state_.index;
  }
  uint64_t Register(const Registration& registration) {
    Commit([&](Transaction& t) { t.Register(std::make_shared<const Registration>(registration)); });
    return state_.index;
  }

  static KvEntry Entry(const std::string& key, const std::string& value) {
    KvEntry entry;
    entry.key = key;
    entry.value = value;
    return entry;
  }

  static Registration Service(const std::string& id, const std::string& service, std::vector<std::string> tags = {}) {
    Registration r;
    r.id = id;
    r.service = service;
    r.tags = std::move(tags);
    CheckDefinition ttl;
    ttl.probe = TtlProbe{absl::Seconds(10)};
    r.checks = {ttl};
    return r;
  }

  State state_;
  KvTable& kv_ = state_.kv;
  Catalog& catalog_ = state_.catalog;
};

// A store that has nothing must answer with an index that can be blocked on: 0 would not block.
TEST_F(StateTest, EmptyStoreHasIndexOne) {
  EXPECT_EQ(kv_.KeyIndex("a"), 1u);
  EXPECT_EQ(kv_.PrefixIndex(""), 1u);
  EXPECT_EQ(catalog_.ServiceIndex("web"), 1u);
  EXPECT_EQ(catalog_.summaries_index(), 1u);
  EXPECT_FALSE(kv_.KeyChangedSince("a", 1));
  EXPECT_FALSE(kv_.PrefixChangedSince("", 1));
}

// Watchers of one key would be woken by, or be told the index of, another one.
TEST_F(StateTest, KeyIndexIsItsOwn) {
  const uint64_t a = Put("a");
  const uint64_t b = Put("b");
  EXPECT_EQ(kv_.KeyIndex("a"), a);
  EXPECT_EQ(kv_.KeyIndex("b"), b);
  EXPECT_FALSE(kv_.KeyChangedSince("a", a));
  EXPECT_TRUE(kv_.KeyChangedSince("a", a - 1));
}

// A missing key's index is the table's, as Consul's; but only its own creation or deletion is a change for its
// watchers.
TEST_F(StateTest, MissingKey) {
  const uint64_t before = Put("other");
  EXPECT_EQ(kv_.KeyIndex("a"), before);
  const uint64_t after = Put("other", "2");
  EXPECT_EQ(kv_.KeyIndex("a"), after);
  EXPECT_FALSE(kv_.KeyChangedSince("a", before));
  Put("a");
  EXPECT_TRUE(kv_.KeyChangedSince("a", after));
  const uint64_t present = kv_.KeyIndex("a");
  Delete("a");
  EXPECT_TRUE(kv_.KeyChangedSince("a", present));
  EXPECT_FALSE(kv_.KeyChangedSince("a", kv_.KeyIndex("a")));
}

// A deletion must raise the prefix's index, though what is left has a lower one, and nothing may ever lower it.
TEST_F(StateTest, PrefixIndexCountsDeletions) {
  Put("cfg/a");
  const uint64_t b = Put("cfg/b");
  Put("other");
  EXPECT_EQ(kv_.PrefixIndex("cfg/"), b);
  const uint64_t gone = Delete("cfg/b");
  EXPECT_EQ(kv_.PrefixIndex("cfg/"), gone);
  EXPECT_TRUE(kv_.PrefixChangedSince("cfg/", b));
  const uint64_t again = Put("cfg/b");
  EXPECT_EQ(kv_.PrefixIndex("cfg/"), again);
  EXPECT_FALSE(kv_.PrefixChangedSince("cfg/", again));
}

// A prefix under which nothing ever was has the table's index, and does not change for the table's sake.
TEST_F(StateTest, EmptyPrefix) {
  const uint64_t index = Put("other");
  EXPECT_EQ(kv_.PrefixIndex("cfg/"), index);
  Put("other", "2");
  EXPECT_FALSE(kv_.PrefixChangedSince("cfg/", index));
  Put("cfg/a");
  EXPECT_TRUE(kv_.PrefixChangedSince("cfg/", index));
}

// Forgetting deletions must not lower an index, nor hide a deletion from a watcher that has not seen it.
TEST_F(StateTest, ReapedTombstonesLeaveAFloor) {
  Put("a/1");
  const uint64_t before = kv_.PrefixIndex("a/");
  const uint64_t gone = Delete("a/1");
  Put("a/0");
  Put("b");
  Delete("b");
  const uint64_t prefix = kv_.PrefixIndex("a/");
  Commit([](Transaction& t) { t.BoundTombstones(1); });
  EXPECT_EQ(kv_.tombstones().size(), 0u);
  EXPECT_GE(kv_.PrefixIndex("a/"), prefix);
  EXPECT_TRUE(kv_.KeyChangedSince("a/1", gone - 1));
  EXPECT_TRUE(kv_.PrefixChangedSince("a/", before));
  EXPECT_FALSE(kv_.KeyChangedSince("a/1", kv_.KeyIndex("a/1")));
  EXPECT_FALSE(kv_.PrefixChangedSince("a/", kv_.PrefixIndex("a/")));
}

// Bounding the tombstones keeps the latest ones.
TEST_F(StateTest, BoundTombstonesKeepsTheLatest) {
  for (int i = 0; i < 10; ++i) Put("k" + std::to_string(i));
  uint64_t last = 0;
  for (int i = 0; i < 10; ++i) last = Delete("k" + std::to_string(i));
  Commit([](Transaction& t) { t.BoundTombstones(10); });
  EXPECT_EQ(kv_.tombstones().size(), 10u) << "not more than the limit yet";
  Commit([](Transaction& t) { t.BoundTombstones(6); });
  EXPECT_EQ(kv_.tombstones().size(), 3u);
  EXPECT_EQ(kv_.tombstones().Find("k9"), last);
  EXPECT_EQ(kv_.tombstones().floor(), last - 3);
}

// Writes of one batch must see each other: a later one must not win a compare-and-set that the earlier one decided.
TEST_F(StateTest, WritesOfOneTransactionSeeEachOther) {
  Commit([](Transaction& t) {
    auto first = t.Put(Entry("a", "1"), 0);
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(ReasonOf(t.Put(Entry("a", "2"), 0).status()), reason::kCasMismatch);
    auto second = t.Put(Entry("a", "2"), (*first)->modify_index);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ((*second)->create_index, (*first)->create_index);
    EXPECT_EQ((*second)->modify_index, (*first)->modify_index + 1);
    EXPECT_TRUE(t.Put(Entry("ab", "1"), std::nullopt).ok());
    t.DeletePrefix("a");
    EXPECT_EQ(ReasonOf(t.Put(Entry("a", "3"), (*second)->modify_index).status()), reason::kCasMismatch);
    auto third = t.Put(Entry("a", "3"), 0);
    ASSERT_TRUE(third.ok());
    EXPECT_GT((*third)->create_index, (*second)->modify_index);
  });
  ASSERT_NE(kv_.Find("a"), nullptr);
  EXPECT_EQ(kv_.Find("a")->value, "3");
  EXPECT_EQ(kv_.Find("ab"), nullptr);
}

// A prefix's deletion is one write: one index, and none where there is nothing to delete.
TEST_F(StateTest, DeletePrefixIsOneIndex) {
  Put("p/a");
  Put("p/b");
  const uint64_t before = state_.index;
  Commit([](Transaction& t) { t.DeletePrefix("p/"); });
  EXPECT_EQ(state_.index, before + 1);
  EXPECT_EQ(kv_.tombstones().Find("p/a"), before + 1);
  EXPECT_EQ(kv_.tombstones().Find("p/b"), before + 1);
  Commit([](Transaction& t) { t.DeletePrefix("p/"); });
  EXPECT_EQ(state_.index, before + 1);
}

// A commit is one write, and one that fails leaves no trace among the writes that it is flushed with, whatever it had
// changed of theirs.
TEST_F(StateTest, ACommitIsOneIndexOrNone) {
  Put("p/a");
  Put("p/b");
  const uint64_t before = state_.index;
  Commit([&](Transaction& t) {
    ASSERT_TRUE(t.Put(Entry("first", "1"), 0).ok());
    const auto failed = t.Commit({PutOperation{Entry("first", "2"), std::nullopt}, DeletePrefixOperation{"p/"},
                                  PutOperation{Entry("new", "1"), 0}, DeleteKeyOperation{"first", std::nullopt},
                                  PutOperation{Entry("p/b", "2"), 0}, PutOperation{Entry("new", "1"), 99}});
    EXPECT_EQ(failed.status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(ReasonOf(failed.status()), reason::kCasMismatch);
    EXPECT_EQ(failed.status().message().substr(0, 15), "operations[5]: ");
    EXPECT_EQ(t.index(), before + 1);
    EXPECT_EQ(t.mutations().size(), 1u);
    EXPECT_FALSE(t.Put(Entry("p/a", "2"), 0).ok()) << "it is there all the same";
    EXPECT_FALSE(t.Put(Entry("first", "2"), 0).ok());
    EXPECT_TRUE(t.Delete("new", 7).ok()) << "nothing is there";

    const auto written = t.Commit({PutOperation{Entry("p/a", "2"), std::nullopt}, DeleteKeyOperation{"p/b", before},
                                   PutOperation{Entry("x", "1"), 0}, PutOperation{Entry("first", "1"), std::nullopt}});
    ASSERT_TRUE(written.ok()) << written.status();
    ASSERT_EQ(written->size(), 3u);
    EXPECT_EQ((*written)[0]->modify_index, before + 2);
    EXPECT_EQ((*written)[1]->create_index, before + 2);
    EXPECT_EQ((*written)[2]->modify_index, before + 1) << "it changed nothing";
    EXPECT_EQ(t.index(), before + 2);
  });
  EXPECT_EQ(kv_.Find("first")->value, "1");
  EXPECT_EQ(kv_.Find("p/a")->value, "2");
  EXPECT_EQ(kv_.Find("new"), nullptr);
  EXPECT_EQ(kv_.tombstones().Find("p/b"), before + 2);
  Commit([](Transaction& t) { EXPECT_TRUE(t.Commit({PutOperation{Entry("x", "1"), std::nullopt}}).ok()); });
  EXPECT_EQ(state_.index, before + 2) << "it changed nothing";
}

// Repeating a write, a deletion or a registration must not raise any index: everybody would be woken.
TEST_F(StateTest, RepeatedWritesChangeNothing) {
  Put("a");
  Register(Service("web-1", "web"));
  Delete("gone");
  const uint64_t index = state_.index;
  Put("a");
  Delete("gone");
  Register(Service("web-1", "web"));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-1", Health::kCritical, "again").ok()); });
  EXPECT_EQ(state_.index, index);
}

// One service's changes are no other's, and an existing service is not moved by new ones.
TEST_F(StateTest, ServiceIndexIsItsOwn) {
  const uint64_t web = Register(Service("web-1", "web"));
  const uint64_t db = Register(Service("db-1", "db"));
  EXPECT_EQ(catalog_.ServiceIndex("web"), web);
  EXPECT_EQ(catalog_.ServiceIndex("db"), db);
  EXPECT_EQ(catalog_.ServiceIndex("none"), db);
  EXPECT_FALSE(catalog_.ServiceChangedSince("web", web));
  EXPECT_FALSE(catalog_.ServiceChangedSince("none", web));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-1", Health::kPassing, "").ok()); });
  EXPECT_TRUE(catalog_.ServiceChangedSince("web", web));
  EXPECT_FALSE(catalog_.ServiceChangedSince("db", db));
}

// A service's last instance going is a change for its watchers, as is its return, and the index only rises.
TEST_F(StateTest, ServiceThatGoesAndReturns) {
  const uint64_t there = Register(Service("web-1", "web"));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Deregister("web-1").ok()); });
  EXPECT_TRUE(catalog_.ServiceChangedSince("web", there));
  const uint64_t gone = catalog_.ServiceIndex("web");
  EXPECT_GT(gone, there);
  EXPECT_FALSE(catalog_.ServiceChangedSince("web", gone));
  const uint64_t back = Register(Service("web-1", "web"));
  EXPECT_GT(back, gone);
  EXPECT_TRUE(catalog_.ServiceChangedSince("web", gone));
  EXPECT_GT(catalog_.Find("web-1")->create_index, gone);
}

// An instance that changes its service must leave the old one, or it would be found under both.
TEST_F(StateTest, InstanceMovesToAnotherService) {
  const uint64_t before = Register(Service("x", "web"));
  Register(Service("x", "db"));
  EXPECT_TRUE(catalog_.FindService("web").empty());
  EXPECT_EQ(catalog_.FindService("db").size(), 1u);
  EXPECT_TRUE(catalog_.ServiceChangedSince("web", before));
  EXPECT_EQ(catalog_.Find("x")->create_index, before);
}

// The list of services must show tags of all instances, and move only when a name or a tag comes or goes.
TEST_F(StateTest, SummariesMoveOnlyWithNamesAndTags) {
  Register(Service("web-1", "web", {"a", "b"}));
  const uint64_t first = catalog_.summaries_index();
  Register(Service("web-2", "web", {"a"}));
  EXPECT_EQ(catalog_.summaries_index(), first);
  Registration other_port = Service("web-2", "web", {"a"});
  other_port.port = 81;
  Register(other_port);
  Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-2", Health::kPassing, "").ok()); });
  EXPECT_EQ(catalog_.summaries_index(), first);
  const uint64_t tag = Register(Service("web-2", "web", {"c"}));
  EXPECT_EQ(catalog_.summaries_index(), tag);
  EXPECT_EQ(catalog_.Summaries(), (std::vector<ServiceSummary>{{"web", {"a", "b", "c"}}}));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Deregister("web-1").ok()); });
  EXPECT_EQ(catalog_.summaries_index(), state_.index);
  EXPECT_EQ(catalog_.Summaries(), (std::vector<ServiceSummary>{{"web", {"c"}}}));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Deregister("web-2").ok()); });
  EXPECT_TRUE(catalog_.Summaries().empty());
}

// Registering again with a change would be an outage if the checks fell back to their initial status; a check of
// another kind has nothing to keep.
TEST_F(StateTest, RegisteringAgainKeepsStatuses) {
  Register(Service("web-1", "web"));
  Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-1", Health::kPassing, "up").ok()); });
  const uint64_t modified = catalog_.Find("web-1")->modify_index;
  Registration longer = Service("web-1", "web");
  std::get<TtlProbe>(longer.checks[0].probe).ttl = absl::Seconds(20);
  Register(longer);
  EXPECT_EQ(HealthOf(*catalog_.Find("web-1")), Health::kPassing);
  EXPECT_EQ(catalog_.Find("web-1")->modify_index, modified) << "only a check has changed";
  Registration tcp = Service("web-1", "web");
  tcp.checks[0].probe = TcpProbe{"127.0.0.1:1"};
  tcp.checks[0].initial_status = Health::kWarning;
  Register(tcp);
  EXPECT_EQ(HealthOf(*catalog_.Find("web-1")), Health::kWarning);
}

// A late result of a probe must not touch the registration that took its place.
TEST_F(StateTest, LateResultsAreDropped) {
  Register(Service("web-1", "web"));
  const auto old = catalog_.Find("web-1")->registration;
  Registration replaced = Service("web-1", "web");
  replaced.port = 81;
  Register(replaced);
  const uint64_t index = state_.index;
  Commit([&](Transaction& t) {
    t.SetStatus(old, 0, Health::kPassing, "late");
    t.ReapCritical(old, 0);
  });
  EXPECT_EQ(state_.index, index);
  const auto current = catalog_.Find("web-1")->registration;
  Commit([&](Transaction& t) { t.SetStatus(current, 0, Health::kPassing, "in time"); });
  EXPECT_EQ(HealthOf(*catalog_.Find("web-1")), Health::kPassing);
  Commit([&](Transaction& t) { t.ReapCritical(current, 0); });
  EXPECT_NE(catalog_.Find("web-1"), nullptr) << "it is not critical any more";
}

// Errors of the contract that handlers tell apart.
TEST_F(StateTest, InstancesThatAreNotThere) {
  Registration no_ttl = Service("web-1", "web");
  no_ttl.checks.clear();
  Register(no_ttl);
  Commit([](Transaction& t) {
    EXPECT_EQ(ReasonOf(t.Deregister("none")), reason::kInstanceNotFound);
    EXPECT_EQ(ReasonOf(t.Heartbeat("none", Health::kPassing, "")), reason::kInstanceNotFound);
    EXPECT_EQ(ReasonOf(t.Heartbeat("web-1", Health::kPassing, "")), reason::kNoTtlCheck);
    EXPECT_TRUE(t.Deregister("web-1").ok());
    EXPECT_EQ(ReasonOf(t.Deregister("web-1")), reason::kInstanceNotFound);
  });
}

}  // namespace
}  // namespace meshgate::consul::embedded
