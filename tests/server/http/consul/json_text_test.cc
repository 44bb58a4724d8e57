// JSON as it is written for Consul's API.
#include "server/http/consul/json_text.h"

#include <gtest/gtest.h>

namespace meshgate::server::consul_api {
namespace {

std::string Text(std::string_view text) { return JsonText().String(text).Take(); }

TEST(JsonTextTest, Values) {
  JsonText json;
  json.BeginObject().Key("a").Number(UINT64_MAX).Key("b").Signed(INT64_MIN).Key("c").Bool(true).Key("d").Null();
  json.Key("e").BeginArray().Bool(false).BeginArray().EndArray().BeginObject().EndObject().EndArray();
  json.Key("f").Strings({"x", "y"}).Key("g").Strings({}).EndObject();
  EXPECT_EQ(json.Take(), R"({"a":18446744073709551615,"b":-9223372036854775808,"c":true,"d":null,"e":[false,[],{}],)"
                         R"("f":["x","y"],"g":[]})");
}

// As Consul writes it for ?pretty.
TEST(JsonTextTest, Pretty) {
  JsonText json(true);
  json.BeginArray().BeginObject().Key("a").Number(1).Key("b").BeginArray().EndArray();
  json.Key("c").BeginArray().Number(2).Number(3).EndArray().EndObject().EndArray();
  EXPECT_EQ(json.Take(),
            "[\n    {\n        \"a\": 1,\n        \"b\": [],\n        \"c\": [\n            2,\n            3\n"
            "        ]\n    }\n]\n");
}

// Would break if a name that somebody chose could end its string, or make the whole answer no JSON.
TEST(JsonTextTest, Escapes) {
  EXPECT_EQ(Text("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(Text(std::string("\0\x01\b\t\n\r\x1f\x7f", 8)),
            "\"\\u0000\\u0001\\u0008\\u0009\\u000a\\u000d\\u001f\x7f\"");
  EXPECT_EQ(Text("gr\u00fc\u00df \u4f60\U0001F600"), "\"gr\u00fc\u00df \u4f60\U0001F600\"");
  JsonText json;
  json.BeginObject().Key("\"\n\xff").Null().EndObject();
  EXPECT_EQ(json.Take(), "{\"\\\"\\u000a\uFFFD\":null}");
}

// Would break if bytes that are no UTF-8 came out as they are: every reader of JSON would refuse the whole list.
TEST(JsonTextTest, InvalidUtf8) {
  EXPECT_EQ(Text("a\xff"
                 "b"),
            "\"a\uFFFDb\"");
  EXPECT_EQ(Text("\xc0\xaf"), "\"\uFFFD\uFFFD\"") << "an overlong form";
  EXPECT_EQ(Text("\xed\xa0\x80"), "\"\uFFFD\uFFFD\uFFFD\"") << "a surrogate";
  EXPECT_EQ(Text("\xf4\x90\x80\x80"), "\"\uFFFD\uFFFD\uFFFD\uFFFD\"") << "beyond Unicode";
  EXPECT_EQ(Text("\xe4\xbd\"x"), "\"\uFFFD\uFFFD\\\"x\"") << "cut off before a quote";
  EXPECT_EQ(Text("x\xe4"), "\"x\uFFFD\"");
}

}  // namespace
}  // namespace meshgate::server::consul_api
