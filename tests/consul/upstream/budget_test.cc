#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/consul/upstream/budget_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// While there is room a key costs a query of its own and nobody reads more than is watched.
TEST_F(BudgetTest, FewKeysAreWatchedAlone) {
  auto readers = OpenMany(12);
  EXPECT_EQ(consul_.blocking(), 12);
  EXPECT_EQ(reporter_.shared, 0);
  EXPECT_EQ(reporter_.replans, 0);
}

// The reason for all this: more keys than queries, and each hears its changes, once, at once.
TEST_F(BudgetTest, ManyKeysShareQueriesAndHearEverything) {
  auto readers = OpenMany(200);
  EXPECT_LE(consul_.blocking(), kLimit / 2);
  EXPECT_EQ(reporter_.polled, 0);
  EXPECT_EQ(reporter_.upstream, consul_.blocking());
  EXPECT_GE(reporter_.shared, 150);
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(readers[i]->state, ElementsAre(Pair(Name(i), "1")));
    ASSERT_EQ(readers[i]->messages, 1);
    consul_.Put(Name(i), "2");
    // The pace of a query that has just returned.
    scheduler_.Advance(absl::Milliseconds(50));
    ASSERT_THAT(readers[i]->state, ElementsAre(Pair(Name(i), "2")));
  }
  for (const auto& reader : readers) EXPECT_EQ(reader->messages, 2);
  EXPECT_LE(consul_.most_blocking(), kLimit);
  EXPECT_EQ(consul_.cancelled(), 0) << "a cancelled query holds its connection at Consul all the same";
}

// A reader must not wait for a plan to be made.
TEST_F(BudgetTest, TheFirstMessageWaitsForNoPlan) {
  std::vector<ReaderPtr> readers;
  for (int i = 0; i < 200; ++i) consul_.Put(Name(i), "1");
  for (int i = 0; i < 200; ++i) readers.push_back(Open(Name(i)));
  scheduler_.RunReady();
  for (const auto& reader : readers) EXPECT_EQ(reader->messages, 1);
}

// Reads that don't block go out few at a time: the rest of the connections is for callers' own.
TEST_F(BudgetTest, ACrowdReadsFewAtATime) {
  consul_.SetLatency(absl::Milliseconds(100));
  std::vector<ReaderPtr> readers;
  for (int i = 0; i < 200; ++i) readers.push_back(Open(Name(i)));
  EXPECT_LE(consul_.plain_reads(), kLimit / 8);
}

// Between the plan and the end of the old queries nothing may get lost or come twice, whoever is asked.
TEST_F(BudgetTest, NothingIsLostWhileQueriesAreHandedOver) {
  std::vector<ReaderPtr> readers;
  for (int i = 0; i < 100; ++i) consul_.Put(Name(i), "1");
  for (int i = 0; i < 100; ++i) readers.push_back(Open(Name(i)));
  for (int value = 2; value < 60; ++value) {
    // Before, in and after the plan, which is made after 150 ms.
    scheduler_.Advance(absl::Milliseconds(10));
    for (int i = value % 3; i < 100; i += 3) consul_.Put(Name(i), absl::StrCat(value));
  }
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_GT(reporter_.shared, 0);
  for (int i = 0; i < 100; ++i) {
    const int last = 59 - (59 - i % 3 + 3) % 3;
    EXPECT_THAT(readers[i]->state, ElementsAre(Pair(Name(i), absl::StrCat(last)))) << i;
  }
}

// A key that comes later joins what covers it, without a plan, and its own state is not overtaken by what that query
// had under way.
TEST_F(BudgetTest, AKeyJoinsAQueryThatCoversIt) {
  auto readers = OpenMany(200);
  const int replans = reporter_.replans;
  const int shared = reporter_.shared;
  const std::vector<std::string> blocked = consul_.Blocked();
  // Among the longest of the shared prefixes.
  const std::string name = Name(42) + "x";
  consul_.Put(name, "7");
  ReaderPtr late = Open(name);
  scheduler_.RunReady();
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "7")));
  EXPECT_EQ(reporter_.shared, shared + 1);
  consul_.Put(name, "8");
  scheduler_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "8")));
  EXPECT_EQ(reporter_.replans, replans);
  EXPECT_EQ(consul_.Blocked(), blocked);
}

// What a shared query has under way when a key joins may be older than what the key's own read has brought.
TEST_F(BudgetTest, AnAnswerFromBeforeJoiningDoesNotCount) {
  auto readers = OpenMany(200);
  const std::string name = Name(42) + "x";
  consul_.HoldRecursive(true);
  consul_.Put(name, "7");
  consul_.Put(name, "8");
  ReaderPtr late = Open(name);
  scheduler_.RunReady();
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "8")));
  // The answer that it woke for the first value: the reader would see 8, then 7.
  consul_.HoldRecursive(false);
  scheduler_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "8")));
  EXPECT_EQ(late->messages, 1);
  consul_.Put(name, "9");
  scheduler_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "9")));
}

// A key that was read before a shared query's last answer joins only once it knows what that knew: the query waits for
// what comes after, and would leave the key behind until its wait ends.
TEST_F(BudgetTest, AKeyThatIsBehindCatchesUpBeforeItJoins) {
  auto readers = OpenMany(200);
  const std::string name = Name(42) + "x";
  consul_.Put(name, "7");
  scheduler_.Advance(absl::Seconds(20));
  consul_.HoldKeys(true);
  ReaderPtr late = Open(name);
  scheduler_.RunReady();
  consul_.Put(name, "8");
  // The shared query has heard of it, and nobody to tell.
  scheduler_.Advance(absl::Seconds(3));
  consul_.HoldKeys(false);
  scheduler_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(late->state, ElementsAre(Pair(name, "8")));
}

// Prefixes are members like keys: each gets its part and no more.
TEST_F(BudgetTest, PrefixesShareToo) {
  auto readers = OpenMany(100);
  ReaderPtr prefix = Open(TargetKind::kPrefix, "k/04");
  scheduler_.Advance(absl::Seconds(5));
  EXPECT_EQ(prefix->state.size(), 10u);
  consul_.Put("k/042", "2");
  consul_.Put("k/052", "2");
  consul_.Delete("k/043");
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(prefix->state.size(), 9u);
  EXPECT_EQ(prefix->state["k/042"], "2");
  EXPECT_THAT(readers[42]->state, ElementsAre(Pair("k/042", "2")));
  EXPECT_LE(consul_.blocking(), kLimit / 2);
}

// Queries that are no longer wanted end by themselves and their seats serve others.
TEST_F(BudgetTest, OldQueriesRunOut) {
  auto readers = OpenMany(12);
  EXPECT_EQ(consul_.blocking(), 12);
  scheduler_.Advance(absl::Minutes(2));
  // One more is too many for queries of their own; the old ones have just asked for up to half a minute.
  consul_.Put(Name(12), "1");
  readers.push_back(Open(Name(12)));
  scheduler_.Advance(absl::Milliseconds(200));
  EXPECT_GT(reporter_.shared, 0);
  EXPECT_GE(consul_.blocking(), 12);
  scheduler_.Advance(absl::Seconds(32));
  EXPECT_LE(consul_.blocking(), kLimit / 2);
  EXPECT_LE(consul_.most_blocking(), kLimit);
  EXPECT_EQ(consul_.cancelled(), 0);
}

// When most keys have gone the others get queries of their own again, and nobody reads what is no longer watched.
TEST_F(BudgetTest, SplitsAgain) {
  auto readers = OpenMany(200);
  EXPECT_GT(reporter_.shared, 0);
  readers.resize(6);
  scheduler_.Advance(absl::Seconds(40));
  EXPECT_EQ(reporter_.shared, 0);
  EXPECT_THAT(consul_.Blocked(), ElementsAre("k/000", "k/001", "k/002", "k/003", "k/004", "k/005"));
  consul_.Put(Name(3), "2");
  scheduler_.Advance(absl::Milliseconds(50));
  EXPECT_THAT(readers[3]->state, ElementsAre(Pair(Name(3), "2")));
  for (const auto& reader : readers) EXPECT_EQ(reader->snapshots, 1);
}

// Services can't share: those without a seat are read now and then, and sit down when somebody leaves.
TEST_F(BudgetTest, WhoHasNoSeatIsPolled) {
  std::vector<std::unique_ptr<Subscription>> services;
  for (int i = 0; i < 20; ++i) {
    services.push_back(
        hub_->Subscribe({TargetKind::kService, absl::StrCat("s", i), "", ""}, View{}, std::nullopt, nullptr));
  }
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(reporter_.polled, 8);
  EXPECT_EQ(consul_.blocking(), 12);
  const int64_t before = consul_.plain_reads();
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_GE(consul_.plain_reads() - before, 8 * 9);
  EXPECT_LE(consul_.plain_reads() - before, 8 * 11) << "it spins";
  // Keys still find seats, in the part that is kept for queries that serve many.
  std::vector<ReaderPtr> readers = OpenMany(50);
  scheduler_.Advance(absl::Seconds(5));
  consul_.Put(Name(7), "2");
  scheduler_.Advance(absl::Milliseconds(50));
  EXPECT_THAT(readers[7]->state, ElementsAre(Pair(Name(7), "2")));
  services.resize(5);
  scheduler_.Advance(absl::Seconds(40));
  EXPECT_EQ(reporter_.polled, 0);
}

// An outage of a shared query is one of each of its members: told once, as is its end.
TEST_F(BudgetTest, AnOutageIsToldToEachMemberOnce) {
  auto readers = OpenMany(100);
  consul_.SetAway(true);
  scheduler_.Advance(absl::Seconds(20));
  for (const auto& reader : readers) {
    EXPECT_EQ(reader->stale, 1);
    EXPECT_EQ(reader->messages, 2);
  }
  consul_.SetAway(false);
  scheduler_.Advance(absl::Seconds(5));
  for (const auto& reader : readers) {
    EXPECT_FALSE(reader->is_stale);
    EXPECT_EQ(reader->messages, 3);
    EXPECT_EQ(reader->deletes, 0);
  }
  consul_.Put(Name(50), "2");
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_THAT(readers[50]->state, ElementsAre(Pair(Name(50), "2")));
}

// A key that is gone from a shared answer is deleted only if its own read says so.
TEST_F(BudgetTest, ADeletionIsConfirmed) {
  auto readers = OpenMany(100);
  const int64_t before = consul_.plain_reads();
  consul_.Delete(Name(42));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(readers[42]->deletes, 1);
  EXPECT_TRUE(readers[42]->state.empty());
  // Its own, and the one that makes the shared query cover it again.
  EXPECT_LE(consul_.plain_reads() - before, 3);
  int told = 0;
  for (const auto& reader : readers) told += reader->messages;
  EXPECT_EQ(told, 101);
  consul_.Put(Name(42), "2");
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_THAT(readers[42]->state, ElementsAre(Pair(Name(42), "2")));
}

// A lost permission looks like a deletion in a shared answer, and must not be told as one.
TEST_F(BudgetTest, ALostPermissionIsNoDeletion) {
  auto readers = OpenMany(100);
  consul_.Forbid(Name(42), true);
  consul_.Put(Name(41), "2");
  scheduler_.Advance(absl::Seconds(30));
  EXPECT_EQ(readers[42]->deletes, 0);
  EXPECT_TRUE(readers[42]->is_stale);
  EXPECT_EQ(readers[42]->stale, 1);
  EXPECT_FALSE(readers[41]->is_stale);
  EXPECT_EQ(readers[41]->stale, 0);
  consul_.Forbid(Name(42), false);
  scheduler_.Advance(absl::Seconds(5));
  EXPECT_FALSE(readers[42]->is_stale);
  EXPECT_THAT(readers[42]->state, ElementsAre(Pair(Name(42), "1")));
}

// Keys that don't exist are woken by every write where they are asked for alone; in a crowd they must cost nothing.
TEST_F(BudgetTest, AbsentKeysCostNothing) {
  auto readers = OpenMany(50);
  for (int i = 500; i < 600; ++i) readers.push_back(Open(Name(i)));
  scheduler_.Advance(absl::Seconds(60));
  const int64_t before = consul_.plain_reads();
  scheduler_.Advance(absl::Seconds(60));
  EXPECT_EQ(consul_.plain_reads(), before);
  consul_.Put(Name(555), "1");
  scheduler_.Advance(absl::Seconds(2));
  for (size_t i = 50; i < readers.size(); ++i) {
    EXPECT_EQ(readers[i]->messages, i == 105 ? 2 : 1);
  }
}

// What is read along though nobody watches it is weighed when it is first seen, and the next plan goes round it.
TEST_F(BudgetTest, GoesRoundWhatNobodyWatches) {
  // Without it k/1*, which has fewer keys than k/0*, would be the cheaper one to share.
  consul_.Put("k/1bulk", std::string(3 << 20, 'x'));
  auto readers = OpenMany(150);
  scheduler_.Advance(absl::Seconds(40));
  const std::vector<std::string> blocked = consul_.Blocked();
  EXPECT_THAT(blocked, ::testing::Contains("k/0*"));
  EXPECT_THAT(blocked, ::testing::Contains("k/14*"));
  EXPECT_THAT(blocked, ::testing::Not(::testing::Contains("k/1*")));
}

// Far too much below a shared prefix is refused before it fills the memory, and another way found.
TEST_F(BudgetTest, AvoidsWhatIsTooWide) {
  consul_.Put("k/0bulk", std::string((size_t{32} << 20) + 1, 'x'));
  auto readers = OpenMany(200);
  scheduler_.Advance(absl::Seconds(40));
  for (const std::string& name : consul_.Blocked()) {
    EXPECT_FALSE(absl::EndsWith(name, "*") && absl::StartsWith("k/0bulk", name.substr(0, name.size() - 1))) << name;
  }
  for (int i = 0; i < 200; ++i) consul_.Put(Name(i), "2");
  scheduler_.Advance(absl::Seconds(10));
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(readers[i]->state, ElementsAre(Pair(Name(i), "2")));
    EXPECT_EQ(readers[i]->stale, 0);
  }
}

// A store that came back empty is told as such, not key by key out of date.
TEST_F(BudgetTest, ALossOfDataReachesEveryMember) {
  auto readers = OpenMany(100);
  consul_.Lose();
  scheduler_.Advance(absl::Seconds(20));
  for (const auto& reader : readers) {
    EXPECT_TRUE(reader->state.empty());
    EXPECT_FALSE(reader->is_stale);
  }
  consul_.Put(Name(1), "9");
  scheduler_.Advance(absl::Seconds(3));
  EXPECT_THAT(readers[1]->state, ElementsAre(Pair(Name(1), "9")));
}

// With HTTP/2 after all there is room for all, and without it suddenly not.
TEST_F(BudgetTest, FollowsTheLimit) {
  consul_.SetLimit(32000);
  auto readers = OpenMany(70);
  EXPECT_EQ(consul_.blocking(), 70);
  consul_.SetLimit(80);
  // Noticed with the next query.
  consul_.Put(Name(0), "2");
  scheduler_.Advance(absl::Minutes(6));
  EXPECT_LE(consul_.blocking(), 80 / 2);
  consul_.SetLimit(32000);
  consul_.Put(Name(0), "3");
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(consul_.blocking(), 70);
  EXPECT_EQ(reporter_.shared, 0);
  consul_.Put(Name(0), "4");
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_THAT(readers[0]->state, ElementsAre(Pair(Name(0), "4")));
}

// Would break if a great many seats meant a query for each key, of which the absent ones wake at every write.
TEST_F(BudgetTest, SharesHoweverManySeatsThereAre) {
  consul_.SetLimit(32000);
  auto readers = OpenMany(1000);
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_LE(consul_.blocking(), 120);
  consul_.Put(Name(999), "2");
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_THAT(readers[999]->state, ElementsAre(Pair(Name(999), "2")));
}

}  // namespace
}  // namespace meshgate::consul
