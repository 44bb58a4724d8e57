// What callers get while Consul does not say what they may do.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "tests/server/auth/auth_harness.h"

namespace meshgate::server::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class GuardAwayTest : public AuthHarness {
 protected:
  // A caller that has been let read "k" of value "v", which nobody reads any more.
  void AllowedBefore() {
    Allow("a", "k");
    auto& stream = Open("a", Key("k"));
    Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
    Answer();
    ASSERT_THAT(HeldBy(stream).state, SizeIs(1));
  }
};

// Who was allowed shortly before gets what was known; who was not, or long before, waits for Consul.
TEST_F(GuardAwayTest, LastKnownGoesToThoseWhoWereAllowedShortlyBefore) {
  AllowedBefore();
  auto& known = Open("a", Key("k"));
  FailAll();
  EXPECT_THAT(HeldBy(known).state, ElementsAre(Pair("k", "v")));
  EXPECT_GE(reporter_.count(Result::kCached), 1);

  auto& stranger = Open("b", Key("k"));
  FailAll();
  EXPECT_THAT(stranger.messages(), IsEmpty());
  ASSERT_TRUE(stranger.end().has_value());
  EXPECT_EQ(stranger.end()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(*stranger.end()), "PERMISSION_UNKNOWN");
  EXPECT_TRUE(RetryAfterOf(*stranger.end()).has_value());

  for (int second = 0; second < 61; ++second) {
    Advance(absl::Seconds(1));
    FailAll();
  }
  known_before_ = false;
  auto& late = Open("a", Key("k"));
  FailAll();
  EXPECT_THAT(late.messages(), IsEmpty());
  ASSERT_TRUE(late.end().has_value());
  EXPECT_EQ(ReasonOf(*late.end()), "PERMISSION_UNKNOWN");
}

// The grace is for what was known while the caller was allowed; a value that came later may have been written after its
// token was revoked.
TEST_F(GuardAwayTest, WhatCameLaterWaitsForConsul) {
  AllowedBefore();
  auto& stream = *streams_.front();
  Publish(Method::kReadKey, {Entry("k", "later", 6)}, 6);
  for (int second = 0; second < 5; ++second) {
    FailAll();
    Advance(absl::Seconds(1));
  }
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("k", "v")));
  EXPECT_FALSE(stream.end().has_value()) << "a stream that was open stays";
  auto& fresh = Open("a", Key("k"));
  FailAll();
  EXPECT_THAT(fresh.messages(), IsEmpty());

  // It is told as soon as Consul says so.
  Advance(absl::Seconds(1));
  Answer();
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("k", "later")));
}

// A token that Consul did not know any more has no grace.
TEST_F(GuardAwayTest, NoGraceForARevokedToken) {
  AllowedBefore();
  unknown_.insert("a");
  Open("a", Key("k"));
  Answer();
  auto& again = Open("a", Key("k"));
  FailAll();
  EXPECT_THAT(again.messages(), IsEmpty());
  EXPECT_TRUE(again.end().has_value());
}

// Streams that wait for Consul together ask together.
TEST_F(GuardAwayTest, WaitingStreamsShareTheirRetries) {
  Allow("a", "k");
  for (int i = 0; i < 50; ++i) Open("a", Key("k"));
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  Answer();
  Publish(Method::kReadKey, {Entry("k", "w", 6)}, 6);
  const int before = asked();
  for (int second = 0; second < 10; ++second) {
    FailAll();
    Advance(absl::Seconds(1));
  }
  EXPECT_LE(asked() - before, 12);
  Answer();
  for (const auto& stream : streams_) EXPECT_EQ(HeldBy(*stream).state["k"], "w");
}

// Questions of one token that come while one is under way go together; those of others don't wait.
TEST_F(GuardAwayTest, QuestionsOfATokenGoTogether) {
  for (int i = 0; i < 40; ++i) {
    Allow("a", absl::StrCat("k", i));
    Open("a", Key(absl::StrCat("k", i)));
  }
  for (int i = 0; i < 40; ++i) Publish(Method::kReadKey, {Entry(absl::StrCat("k", i), "v", 5)}, 5);
  EXPECT_EQ(asked(), 1);
  Allow("b", "k0");
  Open("b", Key("k0"));
  EXPECT_EQ(asked(), 2);
  EXPECT_EQ(Answer(), 4) << "b is asked about twice: whether it may begin, and what it may be told";
  for (const auto& stream : streams_) EXPECT_THAT(HeldBy(*stream).state, SizeIs(1));
}

// A secret in a table of hashes must not be found by whoever knows how they are made.
TEST(KeyedHashTest, HashesSayNothingOutsideOfTheirProcess) {
  const KeyedHash one, other;
  EXPECT_TRUE(one.Of({"a", "b"}) == one.Of({"a", "b"}));
  EXPECT_TRUE(one.Of({"a", "b"}) != one.Of({"ab"}));
  EXPECT_TRUE(one.Of({"a", "b"}) != one.Of({"a", "c"}));
  EXPECT_TRUE(one.Of({"a"}) != other.Of({"a"}));
}

// Which of its headers says who a caller is.
TEST_F(GuardAwayTest, TokensComeInTheMetadata) {
  EXPECT_EQ(guard_.Identify({{"x-consul-token", "t"}}, "")->token(), "t");
  EXPECT_EQ(guard_.Identify({{"authorization", "Bearer b"}}, "")->token(), "b");
  EXPECT_EQ(guard_.Identify({{"authorization", "bearer b"}, {"x-consul-token", "t"}}, "")->token(), "t");
  EXPECT_EQ(guard_.Identify({{"authorization", "Basic b"}}, "")->token(), "");
  EXPECT_EQ(guard_.Identify({}, "")->token(), "");
  EXPECT_EQ(guard_.Identify({{"x-consul-token", "a\r\nX-Other: b"}}, ""), nullptr);
  EXPECT_EQ(guard_.Identify({{"x-consul-token", std::string(300, 'a')}}, ""), nullptr);
}

}  // namespace
}  // namespace meshgate::server::auth
