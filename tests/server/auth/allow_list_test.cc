// What an allow-list's text means, and how its mistakes are told.
#include "server/auth/allow_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace meshgate::server::auth {
namespace {

using ::testing::HasSubstr;

AllowList Must(const std::string& text) {
  auto list = AllowList::Parse(text, "list.yaml");
  EXPECT_TRUE(list.ok()) << list.status();
  return list.ok() ? *std::move(list) : AllowList();
}
std::string Mistakes(const std::string& text) {
  const auto list = AllowList::Parse(text, "list.yaml");
  EXPECT_FALSE(list.ok());
  EXPECT_TRUE(list.ok() || absl::IsInvalidArgument(list.status()));
  return std::string(list.status().message());
}

constexpr char kList[] = R"(
# Who may do what.
identities:
  spiffe://example.org/ns/prod/sa/web:
    read:
      keys: [config/web/, config/common/flags, config/feature*]
      services: ["*"]
    write: {keys: [config/web/state/]}
    register: {services: [web, web-canary*]}
  spiffe://example.org/ns/prod/*:
    read: {keys: [config/common/]}
  spiffe://example.org/*: {}
  batch.example.org: {read: {keys: ["*"]}}
  "*.example.org": {write: {keys: [k]}}
)";

// Would break if a name stood for more, or for less, than it says: the slash at the end, the star, neither.
TEST(AllowListTest, NamesMeanWhatTheySay) {
  const AllowList list = Must(kList);
  const Rules* const web = list.Find("spiffe://example.org/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  for (const char* key :
       {"config/web/", "config/web/a/b", "config/common/flags", "config/feature", "config/features/x"}) {
    EXPECT_TRUE(web->read_keys.Has(key)) << key;
  }
  for (const char* key : {"", "config", "config/web", "config/website", "config/common/flags/", "config/common/flag",
                          "config/featur", "xconfig/web/a"}) {
    EXPECT_FALSE(web->read_keys.Has(key)) << key;
  }
  EXPECT_TRUE(web->read_services.Has("anything"));
  EXPECT_TRUE(web->write_keys.Has("config/web/state/1"));
  EXPECT_FALSE(web->write_keys.Has("config/web/a")) << "reading is not writing";
  EXPECT_FALSE(web->read_services.empty());
  for (const char* service : {"web", "web-canary", "web-canary-2"}) EXPECT_TRUE(web->register_services.Has(service));
  for (const char* service : {"we", "web2", "web-canar", ""}) EXPECT_FALSE(web->register_services.Has(service));
}

// Would break if a prefix were deleted of which a part is not the caller's, or one were kept from a list that it may
// see something of.
TEST(AllowListTest, PrefixesAreComparedAsAWhole) {
  const AllowList list = Must(kList);
  const NameSet& keys = list.Find("spiffe://example.org/ns/prod/sa/web")->read_keys;
  for (const char* prefix : {"config/web/", "config/web/a", "config/feature"}) EXPECT_TRUE(keys.HasAllBelow(prefix));
  for (const char* prefix : {"", "config/", "config/web", "config/common/flags"})
    EXPECT_FALSE(keys.HasAllBelow(prefix));
  for (const char* prefix : {"", "config/", "config/web", "config/web/a/b", "config/common/flags", "config/comm"}) {
    EXPECT_TRUE(keys.HasSomeBelow(prefix)) << prefix;
  }
  for (const char* prefix : {"a", "config/z", "config/common/flags/", "config/common/flagsx"}) {
    EXPECT_FALSE(keys.HasSomeBelow(prefix)) << prefix;
  }
}

// Would break if a caller were given somebody else's rules: only one entry counts, the nearest.
TEST(AllowListTest, TheNearestEntryCounts) {
  const AllowList list = Must(kList);
  EXPECT_EQ(list.size(), 5u);
  const Rules* const prod = list.Find("spiffe://example.org/ns/prod/sa/other");
  ASSERT_NE(prod, nullptr);
  EXPECT_TRUE(prod->read_keys.Has("config/common/x"));
  EXPECT_EQ(prod, list.Find("spiffe://example.org/ns/prod/x"));
  const Rules* const nothing = list.Find("spiffe://example.org/ns/test/x");
  ASSERT_NE(nothing, nullptr);
  EXPECT_FALSE(nothing->read_keys.HasSomeBelow(""));
  EXPECT_FALSE(list.Find("spiffe://example.org/ns/prod/sa/web/x")->write_keys.Has("config/web/state/1"));
  EXPECT_TRUE(list.Find("batch.example.org")->read_keys.Has("any"));
  // A wildcard certificate's own name, not a pattern.
  EXPECT_EQ(list.Find("a.example.org"), nullptr);
  EXPECT_TRUE(list.Find("*.example.org")->write_keys.Has("k"));
  for (const char* stranger : {"", "spiffe://example.org", "spiffe://example.organic/ns", "spiffe://other/ns/prod/x",
                               "batch.example.or", "batch.example.org/x", "SPIFFE://example.org/ns/prod/sa/web"}) {
    EXPECT_EQ(list.Find(stranger), nullptr) << stranger;
  }
  EXPECT_EQ(Must("# Who.\n---\nidentities: {a: {}}\n...\n\n# End.\n").size(), 1u);
  const AllowList open = Must("identities: {a: {}, '*': {read: {keys: [k]}}}");
  EXPECT_TRUE(open.Find("anybody")->read_keys.Has("k"));
  EXPECT_FALSE(open.Find("a")->read_keys.Has("k")) << "its own entry counts, though it allows nothing";
}

// Would break if a mistake were taken for something else, or its writer not told where it is and what is right.
TEST(AllowListTest, MistakesAreToldWithTheirLine) {
  const struct {
    const char* text;
    const char* want;
  } cases[] = {
      {"", "list.yaml:1: names nobody; an allow-list looks like identities: {spiffe://"},
      {"a", "list.yaml:1: names nobody"},
      {"{}", "list.yaml:1: names nobody"},
      {"identities:", "list.yaml:1: identities: names nobody"},
      {"identities: {}", "list.yaml:1: identities: names nobody"},
      {"identities: [a]", "list.yaml:1: identities: names nobody"},
      {"identities: {a: {}}\nidentity: {}", "list.yaml:2: identity: is unknown; there is identities"},
      {"identities:\n  a: {}\n  b: {}\n  a: {}", "list.yaml:4: a: is there twice"},
      {"identities:\n  a:\n", "list.yaml:2: a: needs read, write or register below it, or {} for somebody"},
      {"identities: {a: {reed: {keys: [k]}}}", "a: reed: is no permission; there are read, write and register"},
      {"identities:\n  a:\n    read: {keys: [k]}\n    read: {keys: [l]}", "list.yaml:4: a: read: is there twice"},
      {"identities: {a: {read: [k]}}", "a: read: needs lists of keys and services below it"},
      {"identities: {a: {write: {services: [s]}}}", "a: write.services: is unknown; there are lists of keys"},
      {"identities: {a: {register: {keys: [k]}}}", "a: register.keys: is unknown; there are lists of services"},
      {"identities: {a: {read: {keys: config/}}}", "a: read.keys: is a list, such as [config/web/]"},
      {"identities: {a: {read: {services: web}}}", "a: read.services: is a list, such as [web, \"api-*\"]"},
      {"identities: {a: {read: {keys: [k, '']}}}", "a: read.keys[1]: needs text; \"*\" stands for everything"},
      {"identities: {a: {read: {keys: [~]}}}", "a: read.keys[0]: needs text"},
      {"identities: {a: {read: {keys: [[k]]}}}", "a: read.keys[0]: needs text"},
      {"identities: {a: {read: {keys: [*]}}}", "write \"*\" in quotes"},
      {"identities: {a: {read: {keys: [/k]}}}", "a: read.keys[0]: must not begin with"},
      {"identities: {a: {read: {keys: [a//b]}}}", "a: read.keys[0]: "},
      {"identities: {a: {read: {keys: ['config/*/x']}}}", "a: read.keys[0]: a * stands at the end alone"},
      {"identities: {a: {read: {keys: ['config/**']}}}", "a: read.keys[0]: a * stands at the end alone"},
      {"identities: {a: {register: {services: [web_1]}}}", "a: register.services[0]: must be a DNS label"},
      {"identities: {a: {register: {services: ['web_*']}}}", "is not what a service's name begins with"},
      {"identities: {a: {register: {services: [web/]}}}", "a: register.services[0]: must be a DNS label"},
      {"identities: {'': {}}", "list.yaml:1: is no identity: 1 to 2048 bytes"},
      {"identities: {[a]: {}}", "list.yaml:1: a key must be text"},
      {"identities: {'a\\x01': {}, \"a\\x01\": {}}", "is no identity: 1 to 2048 bytes"},
      {"identities: {'web*': {}}", "only an identity that begins with spiffe:// may end with /*"},
      {"identities: {'web/*': {}}", "only an identity that begins with spiffe:// may end with /*"},
      {"identities: {SPIFFE://a/b: {}}", "is written with spiffe:// in lower case"},
      {"identities: {'spiffe://': {}}", "needs a trust domain"},
      {"identities: {'spiffe:///*': {}}", "needs a trust domain"},
      {"identities: {'spiffe://*': {}}", "a * stands at the end alone, after a slash"},
      {"identities: {'spiffe://a/*/b': {}}", "a * stands at the end alone, after a slash"},
      {"identities: {'spiffe://a/b*': {}}", "a * stands at the end alone, after a slash"},
      {"identities: {spiffe://a/b/: {}}", "ends with a slash, which no SPIFFE ID does"},
      {"identities: {a: {}}\n---\nidentities: {b: {}}", "a second document (---)"},
      {"identities: {a: {}}\n...\nidentities: {b: {}}", "list.yaml:3: a second document (---)"},
      {"---\nidentities: {a: {}}\n---", "list.yaml:3: a second document (---)"},
      // Which YAML::LoadAll() reads for ever.
      {",identities: {a: {}}", "list.yaml:1: "},
      {"identities: {a: {}", "list.yaml:"},
      {"identities: {a: {<<: {read: {keys: [k]}}}}", "a: <<: is no permission"},
  };
  for (const auto& c : cases) EXPECT_THAT(Mistakes(c.text), HasSubstr(c.want)) << c.text;
}

// Would break if somebody with ten mistakes had to start the gateway ten times, or a thousand filled the log.
TEST(AllowListTest, AllMistakesAreToldAtOnce) {
  const std::string two = Mistakes("identities:\n  a:\n    read: {keys: [/x]}\n  'b*': {}\n");
  EXPECT_THAT(two, HasSubstr("list.yaml:3: a: read.keys[0]: "));
  EXPECT_THAT(two, HasSubstr("; list.yaml:4: b*: "));
  std::string many = "identities: {a: {read: {keys: [";
  for (int i = 0; i < 100; ++i) absl::StrAppend(&many, "/bad,");
  EXPECT_THAT(Mistakes(many + "k]}}}"), HasSubstr("; and 80 more mistakes"));
}

// Would break if a file could take the gateway's memory by being large, or by what its aliases spell out.
TEST(AllowListTest, IsBounded) {
  EXPECT_THAT(Mistakes(std::string(AllowList::kMaxBytes + 1, ' ')), HasSubstr("has more than 4194304 bytes"));
  std::string text = "identities:\n  a0: &a {read: {keys: [";
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&text, "k", i, ",");
  absl::StrAppend(&text, "]}}\n");
  for (int i = 1; i < 150; ++i) absl::StrAppend(&text, "  a", i, ": *a\n");
  EXPECT_THAT(Mistakes(text), HasSubstr("one name more than the 250000 there may be"));
}

// Would break if the example that people begin with could not be used, or did not mean what the documentation says.
TEST(AllowListTest, TheExampleIsGood) {
  std::ifstream in("deploy/callers.yaml");
  const AllowList list = Must({std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
  EXPECT_EQ(list.size(), 3u);
  const Rules* const web = list.Find("spiffe://example.org/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  EXPECT_TRUE(web->write_keys.HasAllBelow("config/web/state/"));
  EXPECT_FALSE(list.Find("spiffe://example.org/ns/prod/sa/api")->write_keys.HasSomeBelow(""));
}

// Would break if what one file spells with anchors were read in part.
TEST(AllowListTest, AnchorsAndAliases) {
  const AllowList list = Must("identities:\n  a: &rules {read: {keys: [k]}}\n  b: *rules\n");
  EXPECT_TRUE(list.Find("b")->read_keys.Has("k"));
}

}  // namespace
}  // namespace meshgate::server::auth
