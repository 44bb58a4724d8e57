#include "server/limits/limits.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::limits {
namespace {

using Limit = metrics::LimitReporter::Limit;
using Scope = metrics::LimitReporter::Scope;

class CountingReporter final : public metrics::LimitReporter {
 public:
  void OnRefused(Limit limit, Scope scope) override { refused.emplace_back(limit, scope); }
  std::vector<std::pair<Limit, Scope>> refused;
};

class LimitsTest : public ::testing::Test {
 protected:
  void Use(const LimitsOptions& options) { limits_ = std::make_unique<Limits>(&clock_, &reporter_, options); }
  absl::Status Request(const std::string& caller) {
    return limits_->TakeRequest([&] { return caller; });
  }
  // Watches a key; null where it is refused, as `last_` says.
  std::unique_ptr<Limits::Place> Watch(const std::string& caller, const std::string& key) {
    auto place = limits_->OpenStream(caller);
    last_ = place.status();
    if (!place.ok()) return nullptr;
    consul::Target target;
    target.name = key;
    last_ = (*place)->TakeTarget(target);
    return last_.ok() ? *std::move(place) : nullptr;
  }

  testing::ManualScheduler clock_;
  CountingReporter reporter_;
  std::unique_ptr<Limits> limits_;
  absl::Status last_;
};

// A caller that calls too often would go on, or one that does not would be refused for another's sake.
TEST_F(LimitsTest, CallsOfEachCallerComeAtItsRate) {
  Use({{0, 0, 10}, {}});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Request("a").ok()) << i;
  const absl::Status refused = Request("a");
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), kTooManyRequests);
  EXPECT_EQ(RetryAfterOf(refused), absl::Milliseconds(100));
  EXPECT_TRUE(Request("b").ok());
  ASSERT_EQ(reporter_.refused.size(), 1u);
  EXPECT_EQ(reporter_.refused[0], std::make_pair(Limit::kRequests, Scope::kCaller));
  // What was refused has taken nothing.
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(Request("a").ok());
  EXPECT_FALSE(Request("a").ok());
}

// Many callers, none of which is over its budget, could use up the process.
TEST_F(LimitsTest, CallsOfAllTogetherComeAtARate) {
  Use({{}, {0, 0, 3}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Request(absl::StrCat("caller", i)).ok());
  EXPECT_EQ(ReasonOf(Request("another")), kTooManyRequests);
  EXPECT_EQ(reporter_.refused.back(), std::make_pair(Limit::kRequests, Scope::kAll));
}

// A caller's streams would not be bounded, or not given back.
TEST_F(LimitsTest, StreamsCountUntilTheyAreOver) {
  Use({{2, 0, 0}, {3, 0, 0}});
  auto first = Watch("a", "k");
  const auto second = Watch("a", "k");
  EXPECT_EQ(Watch("a", "k"), nullptr);
  EXPECT_EQ(ReasonOf(last_), kTooManyStreams);
  EXPECT_EQ(reporter_.refused.back(), std::make_pair(Limit::kStreams, Scope::kCaller));
  const auto third = Watch("b", "k");
  EXPECT_NE(third, nullptr);
  EXPECT_EQ(Watch("c", "k"), nullptr);
  EXPECT_EQ(reporter_.refused.back(), std::make_pair(Limit::kStreams, Scope::kAll));
  first.reset();
  EXPECT_NE(Watch("c", "k"), nullptr);
}

// One caller could have the gateway watch any number of keys at Consul; or many streams of one key would count as many.
TEST_F(LimitsTest, TargetsCountOnceForAllTheirStreams) {
  Use({{0, 2, 0}, {0, 3, 0}});
  auto one = Watch("a", "1");
  const auto again = Watch("a", "1");
  const auto two = Watch("a", "2");
  EXPECT_EQ(Watch("a", "3"), nullptr);
  EXPECT_EQ(ReasonOf(last_), kTooManyTargets);
  EXPECT_EQ(reporter_.refused.back(), std::make_pair(Limit::kTargets, Scope::kCaller));
  const auto three = Watch("b", "3");
  EXPECT_EQ(Watch("b", "4"), nullptr);
  EXPECT_EQ(reporter_.refused.back(), std::make_pair(Limit::kTargets, Scope::kAll));
  // One stream of it is left.
  one.reset();
  EXPECT_EQ(Watch("a", "3"), nullptr);
  // Others have it already.
  EXPECT_NE(Watch("b", "1"), nullptr);
}

// A stream that was refused for its target would stay in the count of streams.
TEST_F(LimitsTest, WhatWasRefusedCountsForNothing) {
  Use({{1, 1, 0}, {}});
  {
    const auto held = Watch("a", "1");
    ASSERT_NE(held, nullptr);
  }
  consul::Target target;
  {
    auto place = limits_->OpenStream("a");
    ASSERT_TRUE(place.ok());
    EXPECT_TRUE((*place)->TakeTarget(target).ok());
    EXPECT_FALSE(limits_->OpenStream("a").ok());
  }
  EXPECT_NE(Watch("a", "2"), nullptr);
}

// Limits of 0 would refuse everything.
TEST_F(LimitsTest, NoLimitIsNone) {
  Use({});
  std::vector<std::unique_ptr<Limits::Place>> places;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Request("a").ok());
    places.push_back(Watch("a", absl::StrCat(i)));
    EXPECT_NE(places.back(), nullptr);
  }
}

// Who comes from ever new addresses would be remembered for ever; or be let off by being forgotten.
TEST_F(LimitsTest, CallersAreForgottenWhenTheyHaveNothing) {
  Use({{0, 0, 2}, {}});
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(Request(absl::StrCat(i)).ok());
  EXPECT_TRUE(Request("9999").ok());
  EXPECT_FALSE(Request("9999").ok());
  EXPECT_GE(limits_->callers(), 10'000u);
  clock_.Advance(absl::Seconds(1));
  for (int i = 0; i < 20'000; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_TRUE(Request(absl::StrCat("new", i)).ok());
  }
  EXPECT_LE(limits_->callers(), 4'000u);
}

}  // namespace
}  // namespace meshgate::server::limits
