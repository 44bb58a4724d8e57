#include "consul/watch/resume_token.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "consul/watch/digest.h"

namespace meshgate::consul {
namespace {

KvEntry Entry(std::string key, std::string value, uint64_t modify) {
  return {std::move(key), std::move(value), 0, 1, modify};
}

// The digest of a state must not depend on how it came about, or tokens would not fit on another gateway.
TEST(DigestTest, IsTheSameHoweverTheStateCameAbout) {
  State before;
  before.entries = {Entry("a", "1", 2), Entry("b", "1", 3)};
  State after;
  after.entries = {Entry("a", "2", 5), Entry("c", "1", 6)};
  const auto changes = Diff(TargetKind::kPrefix, before, after);
  EXPECT_EQ(UpdateDigest(TargetKind::kPrefix, DigestOf(TargetKind::kPrefix, before), before, after, changes),
            DigestOf(TargetKind::kPrefix, after));
  EXPECT_NE(DigestOf(TargetKind::kPrefix, before), DigestOf(TargetKind::kPrefix, after));
}

// Readers keep tokens over releases: the digest of a known state must never change.
TEST(DigestTest, IsStableOverVersions) {
  State state;
  state.entries = {{"payments/db/url", "postgres", 7, 11, 12}};
  EXPECT_EQ((ResumeToken{12, DigestOf(TargetKind::kKey, state)}.ToString()), "aDAAAAAAAAADQk-C5VqcWGD-MgDZh7XaU");
}

// Junk from outside must be told from a token.
TEST(ResumeTokenTest, RefusesWhatItDidNotMake) {
  ResumeToken token;
  token.index = 42;
  const std::string text = token.ToString();
  EXPECT_LE(text.size(), 128u);
  ASSERT_TRUE(ResumeToken::Parse(text).has_value());
  EXPECT_EQ(ResumeToken::Parse(text)->index, 42u);
  for (const std::string& junk : {std::string(""), std::string("a"), text.substr(1), "b" + text.substr(1),
                                  text + "AAAA", text.substr(0, 20), std::string(33, '!')}) {
    EXPECT_FALSE(ResumeToken::Parse(junk).has_value()) << junk;
  }
}

}  // namespace
}  // namespace meshgate::consul
