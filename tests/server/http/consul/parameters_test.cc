// What requests to Consul's API say besides their path.
#include "server/http/consul/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Parameters Parse(std::string_view query) {
  auto parsed = Parameters::Parse(query);
  EXPECT_TRUE(parsed.ok()) << query << ": " << parsed.status();
  return parsed.ok() ? *std::move(parsed) : Parameters();
}

HttpRequest Http(const std::string& query) {
  HttpRequest http;
  http.path = "/v1/kv/a";
  http.query = query;
  return http;
}

std::string Stripped(const std::string& query) { return TargetWithout(Http(query), {"token"}); }
std::string Canonical(const std::string& query) { return CanonicalQuery("/v1/health/service/web", Parse(query)); }

// Would break if a flag needed a value, or a value lost what its encoding stands for.
TEST(ParametersTest, Parse) {
  const Parameters parameters = Parse("stale&&near=_agent&filter=a%3D%22b%26c%22+x&tag=1&tag=2&empty=");
  EXPECT_TRUE(parameters.has("stale"));
  EXPECT_TRUE(parameters.has("empty"));
  EXPECT_FALSE(parameters.has("consistent"));
  EXPECT_EQ(parameters.value("near"), "_agent");
  EXPECT_EQ(parameters.value("filter"), "a=\"b&c\" x");
  EXPECT_THAT(parameters.values("tag"), ElementsAre("1", "2"));
  EXPECT_EQ(parameters.value("none"), "");
  // Names are Consul's, letter for letter.
  EXPECT_FALSE(Parse("STALE").has("stale"));
}

// Would break if one of two values were taken: Consul takes the first, and who sends two means something else.
TEST(ParametersTest, Refuses) {
  for (const char* query :
       {"index=1&index=2", "stale&stale", "dc=a&dc=a", "token=a&%74oken=b", "%zz", "a=%", "a=%4", "a=%u0041", "%2=a"}) {
    EXPECT_FALSE(Parameters::Parse(query).ok()) << query;
  }
  std::string many;
  for (int i = 0; i < 10'000; ++i) absl::StrAppend(&many, "tag=", i, "&");
  EXPECT_FALSE(Parameters::Parse(many).ok()) << "a list without an end";
}

// Would break if a number that Consul refuses were read as another one.
TEST(ParametersTest, Numbers) {
  EXPECT_EQ(Parse("").Number("cas").value(), std::nullopt);
  EXPECT_EQ(Parse("cas=0").Number("cas").value(), 0u);
  EXPECT_EQ(Parse("cas=007").Number("cas").value(), 7u);
  EXPECT_EQ(Parse("cas=18446744073709551615").Number("cas").value(), UINT64_MAX);
  for (const char* value :
       {"", "-1", "%2B1", "+1", "1+", "abc", "1.0", "1e3", "0x10", "18446744073709551616", "1%00"}) {
    EXPECT_FALSE(Parse(absl::StrCat("cas=", value)).Number("cas").ok()) << value;
  }
}

TEST(ParametersTest, HowToRead) {
  const ReadHow plain = HowToRead(Parse("")).value();
  EXPECT_EQ(plain.mode, consul::ReadMode::kDefault);
  EXPECT_EQ(plain.index, 0u);
  EXPECT_EQ(plain.wait, absl::Minutes(5));
  EXPECT_FALSE(plain.cached);
  EXPECT_FALSE(plain.waits_for_hash);
  const ReadHow how = HowToRead(Parse("index=42&wait=30s&stale&dc=dc2&cached&hash=af")).value();
  EXPECT_EQ(how.mode, consul::ReadMode::kStale);
  EXPECT_EQ(how.index, 42u);
  EXPECT_EQ(how.wait, absl::Seconds(30));
  EXPECT_EQ(how.datacenter, "dc2");
  EXPECT_TRUE(how.cached);
  EXPECT_TRUE(how.waits_for_hash);
  // Who wants the truth gets no cache.
  const ReadHow consistent = HowToRead(Parse("consistent&cached")).value();
  EXPECT_EQ(consistent.mode, consul::ReadMode::kConsistent);
  EXPECT_FALSE(consistent.cached);
  // As Consul: nothing is as good as not said.
  EXPECT_EQ(HowToRead(Parse("index=&wait=")).value().index, 0u);
}

// Would break if a caller could wait without an end, or not at all where Consul takes its default.
TEST(ParametersTest, Wait) {
  EXPECT_EQ(HowToRead(Parse("wait=10m")).value().wait, absl::Minutes(10));
  EXPECT_EQ(HowToRead(Parse("wait=1000h")).value().wait, absl::Minutes(10));
  EXPECT_EQ(HowToRead(Parse("wait=1m30.5s")).value().wait, absl::Milliseconds(90'500));
  EXPECT_EQ(HowToRead(Parse("wait=1ms")).value().wait, absl::Milliseconds(1));
  EXPECT_EQ(HowToRead(Parse("wait=0s")).value().wait, absl::Minutes(5));
  for (const char* wait : {"1", "30", "abc", "s", "-1s", "inf", "-inf", "1d", "1s+", "1+s", "5sm"}) {
    EXPECT_FALSE(HowToRead(Parse(absl::StrCat("wait=", wait))).ok()) << wait;
  }
  for (const char* query : {"index=-1", "index=abc", "index=1.5", "stale&consistent", "consistent=&stale=false"}) {
    EXPECT_FALSE(HowToRead(Parse(query)).ok()) << query;
  }
}

// Would break if a token stayed in what is asked of Consul, where logs and proxies see it.
TEST(ParametersTest, TokensAreStripped) {
  EXPECT_EQ(Stripped(""), "/v1/kv/a");
  EXPECT_EQ(Stripped("token=secret"), "/v1/kv/a");
  EXPECT_EQ(Stripped("token"), "/v1/kv/a");
  EXPECT_EQ(Stripped("token="), "/v1/kv/a");
  EXPECT_EQ(Stripped("raw&token=secret&dc=a%2Fb"), "/v1/kv/a?raw&dc=a%2Fb");
  EXPECT_EQ(Stripped("%74oke%6E=secret&raw"), "/v1/kv/a?raw");
  EXPECT_EQ(Stripped("tokens=1&Token=2&xtoken=3"), "/v1/kv/a?tokens=1&Token=2&xtoken=3");
  // The rest as it was, byte for byte.
  EXPECT_EQ(Stripped("&&filter=a+b%20c&=x&"), "/v1/kv/a?&&filter=a+b%20c&=x&");
}

// Would break if a caller were taken for another one than Consul would take it for.
TEST(ParametersTest, TokenOf) {
  const auto token = [](const std::string& query, std::vector<std::pair<std::string, std::string>> headers) {
    HttpRequest http = Http(query);
    http.headers = std::move(headers);
    return TokenOf(http, Parse(query));
  };
  EXPECT_EQ(token("", {}), "");
  EXPECT_EQ(token("token=q", {{"x-consul-token", "h"}, {"authorization", "Bearer b"}}), "q");
  EXPECT_EQ(token("token=", {{"x-consul-token", "h"}, {"authorization", "Bearer b"}}), "h");
  EXPECT_EQ(token("", {{"authorization", "bearer b"}}), "b");
  EXPECT_EQ(token("", {{"authorization", "Basic b"}}), "");
  EXPECT_EQ(token("", {{"authorization", "Bearer"}}), "");
  EXPECT_EQ(token("token=a%2Bb", {}), "a+b");
}

// Would break if those who ask for the same were two queries of Consul, or those who ask for different things one.
TEST(ParametersTest, CanonicalQuery) {
  EXPECT_EQ(Canonical(""), "/v1/health/service/web");
  EXPECT_EQ(Canonical("index=5&wait=1s&stale&cached&token=secret&dc=x"), "/v1/health/service/web");
  EXPECT_EQ(Canonical("tag=b&passing&tag=a"), Canonical("passing=&tag=a&index=9&tag=b"));
  EXPECT_EQ(Canonical("passing=1"), Canonical("passing"));
  EXPECT_EQ(Canonical("passing=true"), Canonical("passing"));
  EXPECT_NE(Canonical("passing=false"), Canonical("passing"));
  EXPECT_EQ(Canonical("filter=a%3Db"), Canonical("f%69lter=%61%3D%62"));
  EXPECT_EQ(Canonical("filter=a+b"), Canonical("filter=a%20b"));
  EXPECT_NE(Canonical("tag=a"), Canonical("tag=A"));
  EXPECT_NE(Canonical("tag=a"), Canonical("tag=a&tag=b"));
  // No value can pose as a parameter.
  EXPECT_NE(Canonical("tag=a%26passing"), Canonical("tag=a&passing"));
  EXPECT_NE(Canonical("tag=a%3Bdc%3Db"), Canonical("tag=a"));
  EXPECT_THAT(Canonical("filter=%00%0d%0a+%23%3F"), HasSubstr("filter=%00%0D%0A%20%23%3F"));
}

}  // namespace
}  // namespace meshgate::server::consul_api
