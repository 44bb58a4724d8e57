#include "server/service/page_token.h"

#include <string>

#include "absl/strings/ascii.h"
#include "gtest/gtest.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

// The next page must begin where the last one ended, whatever the key is made of.
TEST(PageTokenTest, ComesBackAsItWas) {
  for (const std::string& key : {std::string("a"), std::string("caf\xc3\xa9/\xe2\x98\x83"), std::string(1024, 'k')}) {
    const std::string token = EncodePageToken({key, 18446744073709551615u}, "a", "dc1");
    EXPECT_LE(token.size(), 1600u);
    for (char c : token) EXPECT_TRUE(absl::ascii_isgraph(static_cast<unsigned char>(c)));
    absl::StatusOr<PagePosition> position = DecodePageToken(token, "a", "dc1");
    ASSERT_TRUE(position.ok()) << position.status();
    EXPECT_EQ(position->after, key);
    EXPECT_EQ(position->index, 18446744073709551615u);
  }
}

// A token handed to another list would skip entries without a word.
TEST(PageTokenTest, IsGoodForItsListOnly) {
  const std::string token = EncodePageToken({"a/1", 7}, "a/", "dc1");
  for (const auto& [prefix, datacenter] :
       {std::pair("a", "dc1"), std::pair("", "dc1"), std::pair("a/", ""), std::pair("a/d", "c1")}) {
    const absl::Status status = DecodePageToken(token, prefix, datacenter).status();
    ExpectBadField(status, "page_token");
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPageToken);
  }
}

// A token that was cut, changed or made up must not become some position or other.
TEST(PageTokenTest, RefusesWhatItDidNotMake) {
  const std::string token = EncodePageToken({"a/1", 7}, "a/", "dc1");
  for (size_t length = 0; length < token.size(); ++length) {
    EXPECT_FALSE(DecodePageToken(token.substr(0, length), "a/", "dc1").ok()) << length;
  }
  for (size_t at = 0; at < token.size(); ++at) {
    // The last character's low bits may carry nothing.
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'h' : 'A';
    const auto position = DecodePageToken(changed, "a/", "dc1");
    EXPECT_FALSE(position.ok() && position->after != "a/1") << at;
    EXPECT_FALSE(position.ok() && position->index != 7) << at;
  }
  for (const char* junk : {"junk", "!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", " ", "\xff"}) {
    EXPECT_FALSE(DecodePageToken(junk, "a/", "dc1").ok()) << junk;
  }
}

}  // namespace
}  // namespace meshgate::server
