#include "consul/http/paths.h"

#include <gtest/gtest.h>

namespace meshgate::consul::http {
namespace {

// A name that is not encoded to the byte would read, or overwrite, another key.
TEST(PathsTest, EncodesEverythingButUnreserved) {
  const struct {
    std::string in, segment, key;
  } cases[] = {
      {"", "", ""},
      {"plain-_.~09AZ", "plain-_.~09AZ", "plain-_.~09AZ"},
      {"a/b", "a%2Fb", "a/b"},
      {"a b", "a%20b", "a%20b"},
      {"a+b", "a%2Bb", "a%2Bb"},
      {"100%", "100%25", "100%25"},
      {"%2F", "%252F", "%252F"},
      {"q?x=1&y#z", "q%3Fx%3D1%26y%23z", "q%3Fx%3D1%26y%23z"},
      {"\"'\\", "%22%27%5C", "%22%27%5C"},
      {"\xc3\xbc\xff", "%C3%BC%FF", "%C3%BC%FF"},
      {std::string("\0\n", 2), "%00%0A", "%00%0A"},
      {"../a", "..%2Fa", "../a"},
      {"dir/", "dir%2F", "dir/"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(EncodeSegment(c.in), c.segment);
    EXPECT_EQ(EncodeKey(c.in), c.key);
  }
}

// A query that begins with the wrong separator would become part of the key.
TEST(PathsTest, TargetsAreBuiltInOrder) {
  EXPECT_EQ(Target("/v1/agent/checks").str(), "/v1/agent/checks");
  EXPECT_EQ(Target("/v1/kv/").Key("a b/c").Query("index", "7").Flag("recurse").str(), "/v1/kv/a%20b/c?index=7&recurse");
  EXPECT_EQ(Target("/v1/kv/").Key("").Flag("recurse").QueryUnlessEmpty("dc", "").str(), "/v1/kv/?recurse");
  EXPECT_EQ(Target("/v1/health/service/").Segment("web").Query("filter", "a == \"b\" and c").str(),
            "/v1/health/service/web?filter=a%20%3D%3D%20%22b%22%20and%20c");
  EXPECT_EQ(Target("/x").QueryUnlessEmpty("dc", "east").str(), "/x?dc=east");
}

}  // namespace
}  // namespace meshgate::consul::http
