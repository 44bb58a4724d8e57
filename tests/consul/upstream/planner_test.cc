#include "consul/upstream/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meshgate::consul {
namespace {

using ::testing::UnorderedElementsAre;

constexpr size_t kEach = 100;

std::vector<PlannedTarget> Keys(const std::vector<std::string>& names, const std::string& datacenter = "") {
  std::vector<PlannedTarget> targets;
  for (const std::string& name : names) targets.push_back({datacenter, name, kEach, false});
  return targets;
}

// Shares as "dc:prefix=members", and those alone by name.
std::vector<std::string> Told(const std::vector<PlannedTarget>& targets, const Plan& plan) {
  std::vector<std::string> told;
  for (const PlannedShare& share : plan.shares) {
    told.push_back(
        absl::StrCat(share.datacenter, share.datacenter.empty() ? "" : ":", share.prefix, "*", share.members.size()));
  }
  for (const size_t i : plan.alone) told.push_back(targets[i].name);
  return told;
}

struct Row {
  const char* broken_if_it_fails;
  std::vector<PlannedTarget> targets;
  std::vector<MeasuredPrefix> measured;
  PlannerOptions options;
  std::vector<std::string> plan;
};

// Each row is one property of a plan that somebody relies on.
TEST(PlannerTest, Table) {
  const std::vector<PlannedTarget> two_apps = Keys({"app/a", "app/b", "app/c", "web/a", "web/b"});
  const std::vector<Row> rows = {
      {"nothing watched is nothing asked", {}, {}, {1}, {}},
      {"with room enough nothing is shared", two_apps, {}, {5}, {"app/a", "app/b", "app/c", "web/a", "web/b"}},
      {"one query too many merges the pair that costs the least",
       two_apps,
       {},
       {4},
       {"app/a", "app/b", "app/c", "web/*2"}},
      {"more merge until the budget is kept", two_apps, {}, {2}, {"app/*3", "web/*2"}},
      {"without a first character in common nothing is shared, whatever the budget",
       two_apps,
       {},
       {1},
       {"app/*3", "web/*2"}},
      {"the split is at any character, not only at slashes",
       Keys({"k10", "k11", "k20", "k21"}),
       {},
       {2},
       {"k1*2", "k2*2"}},
      {"a key can be a prefix of the others, and is read with them", Keys({"a", "a/b", "a/c"}), {}, {1}, {"a*3"}},
      {"datacenters don't share, however alike their keys",
       {{"dc1", "a/1", kEach, false}, {"dc2", "a/2", kEach, false}},
       {},
       {1},
       {"a/1", "a/2"}},
      {"each datacenter shares with itself",
       {{"dc1", "a/1", kEach, false},
        {"dc1", "a/2", kEach, false},
        {"dc2", "a/1", kEach, false},
        {"dc2", "a/2", kEach, false}},
       {},
       {2},
       {"dc1:a/*2", "dc2:a/*2"}},
      {"keys below a watched prefix are read with it, at no cost, before others are merged",
       {{"", "a/", 10 * kEach, true},
        {"", "a/x", kEach, false},
        {"", "a/y", kEach, false},
        {"", "b/x", 9000, false},
        {"", "b/y", 9000, false}},
       {},
       {3},
       {"a/*3", "b/x", "b/y"}},
      {"a prefix can be a member of a wider one",
       {{"", "a/x/", kEach, true}, {"", "a/y/", kEach, true}},
       {},
       {1},
       {"a/*2"}},
      {"a prefix known to hold much that nobody watches is avoided where another costs less",
       Keys({"app/a", "app/b", "web/a", "web/b", "web/c"}),
       {{"", "app/", 1 << 20}},
       {3},
       {"app/a", "app/b", "web/*3"}},
      {"one known to hold more than the cap is never asked for",
       Keys({"app/a", "app/b"}),
       {{"", "app/", 64 << 20}},
       {1},
       {"app/a", "app/b"}},
      {"nor is one that is wider than that",
       Keys({"app/a", "apx/b"}),
       {{"", "app/", 64 << 20}},
       {1},
       {"app/a", "apx/b"}},
      {"a narrower one may be", Keys({"app/a1", "app/a2"}), {{"", "app/", 64 << 20}}, {1}, {"app/a*2"}},
      {"a prefix that would end within a character is not asked for: ä and ö share their first byte",
       Keys({"\xc3\xa4", "\xc3\xb6"}),
       {},
       {1},
       {"\xc3\xa4", "\xc3\xb6"}},
      {"a key and a prefix of the same name are two members",
       {{"", "a", kEach, false}, {"", "a", kEach, true}},
       {},
       {1},
       {"a*2"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.broken_if_it_fails);
    EXPECT_THAT(Told(row.targets, MakePlan(row.targets, row.measured, row.options)),
                ::testing::UnorderedElementsAreArray(row.plan));
  }
}

// Ten thousand flat keys are what the gateway is measured with: the shares must come out even, or one key's change
// would read a large part of the others.
TEST(PlannerTest, FlatKeysAreSharedEvenly) {
  std::vector<PlannedTarget> targets;
  for (int i = 0; i < 10000; ++i) targets.push_back({"", absl::StrFormat("k/%05d", i), kEach, false});
  const Plan plan = MakePlan(targets, {}, {100});
  EXPECT_EQ(plan.queries(), 100u);
  for (const PlannedShare& share : plan.shares) EXPECT_EQ(share.members.size(), 100u) << share.prefix;
  // Half the budget of Consul's default: some are a tenth of all, most stay small.
  const Plan tight = MakePlan(targets, {}, {64});
  EXPECT_LE(tight.queries(), 64u);
  for (const PlannedShare& share : tight.shares) EXPECT_LE(share.members.size(), 1000u) << share.prefix;
}

size_t Distinct(const std::vector<PlannedTarget>& targets, size_t prefix_length) {
  std::set<std::string> distinct;
  for (const auto& t : targets) distinct.insert(t.datacenter + '\0' + t.name.substr(0, prefix_length));
  return distinct.size();
}

// Against a model that knows nothing but what a plan promises, over random trees of names: a target lost here is a
// watch that never hears anything.
TEST(PlannerTest, RandomPlansKeepTheirPromises) {
  std::mt19937 random(20260101);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    SCOPED_TRACE(round);
    const size_t letters = 1 + below(4);
    std::vector<PlannedTarget> targets;
    std::set<std::pair<std::string, bool>> names;
    for (size_t i = below(40); i > 0; --i) {
      std::string name;
      for (size_t j = 1 + below(6); j > 0; --j) name += static_cast<char>('a' + below(letters));
      const bool prefix = below(4) == 0;
      if (names.emplace(name, prefix).second) {
        targets.push_back({below(8) == 0 ? "dc2" : "dc1", name, below(1000), prefix});
      }
    }
    std::vector<MeasuredPrefix> measured;
    for (size_t i = below(3); i > 0; --i) {
      measured.push_back({"dc1", std::string(1 + below(3), static_cast<char>('a' + below(letters))), below(5000)});
    }
    PlannerOptions options;
    options.queries = 1 + below(20);
    options.max_bytes = below(2) == 0 ? 2000 : 1 << 20;
    const Plan plan = MakePlan(targets, measured, options);

    std::vector<int> times(targets.size(), 0);
    for (const size_t i : plan.alone) ++times[i];
    std::set<std::pair<std::string, std::string>> prefixes;
    for (const PlannedShare& share : plan.shares) {
      EXPECT_TRUE(prefixes.emplace(share.datacenter, share.prefix).second) << "asked for twice: " << share.prefix;
      EXPECT_FALSE(share.prefix.empty());
      EXPECT_GE(share.members.size(), 2u);
      for (const size_t i : share.members) {
        ++times[i];
        EXPECT_EQ(targets[i].datacenter, share.datacenter);
        EXPECT_TRUE(absl::StartsWith(targets[i].name, share.prefix)) << targets[i].name << " in " << share.prefix;
      }
      for (const MeasuredPrefix& m : measured) {
        if (m.datacenter == share.datacenter && absl::StartsWith(m.prefix, share.prefix)) {
          const bool known_better = std::any_of(measured.begin(), measured.end(), [&](const MeasuredPrefix& other) {
            return other.datacenter == m.datacenter && absl::StartsWith(other.prefix, share.prefix) &&
                   absl::StartsWith(m.prefix, other.prefix) && other.prefix != m.prefix;
          });
          const bool a_target_knows = std::any_of(targets.begin(), targets.end(), [&](const PlannedTarget& t) {
            return t.is_prefix && t.datacenter == m.datacenter && absl::StartsWith(m.prefix, t.name) &&
                   absl::StartsWith(t.name, share.prefix);
          });
          if (!known_better && !a_target_knows) {
            EXPECT_LE(m.bytes, options.max_bytes) << share.prefix;
          }
        }
      }
    }
    EXPECT_THAT(times, ::testing::Each(1)) << "each target is in one query";
    if (targets.size() <= options.queries) {
      EXPECT_TRUE(plan.shares.empty()) << "merged without need";
    }
    // By first characters it could always be done, where size doesn't forbid it.
    if (options.max_bytes > (1 << 19)) {
      EXPECT_LE(plan.queries(), std::max(options.queries, Distinct(targets, 1)));
    }
  }
}

double CpuSeconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Planning is done on a thread that also delivers: were it quadratic, a hundred thousand keys would hold everything up
// for minutes. The bound is far above what it takes, in time of the thread alone.
TEST(PlannerTest, IsNotQuadratic) {
  for (const int count : {10000, 100000}) {
    std::vector<PlannedTarget> targets;
    std::mt19937 random(7);
    for (int i = 0; i < count; ++i) {
      targets.push_back({"", absl::StrFormat("team%d/service%d/%08x", random() % 20, random() % 300, random()), 200});
    }
    const double begin = CpuSeconds();
    const Plan plan = MakePlan(targets, {}, {64});
    const double took = CpuSeconds() - begin;
    RecordProperty(absl::StrCat("milliseconds_for_", count), static_cast<int>(1000 * took));
    std::printf("%d targets: %.1f ms, %zu queries\n", count, 1000 * took, plan.queries());
    EXPECT_LE(plan.queries(), 64u);
    EXPECT_LT(took, 20);
  }
}

}  // namespace
}  // namespace meshgate::consul
