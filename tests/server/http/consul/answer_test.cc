// Answers as Consul gives them.
#include "server/http/consul/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consul/base/errors.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

consul::KvEntry Entry(const std::string& key, const std::string& value) {
  consul::KvEntry entry;
  entry.key = key;
  entry.value = value;
  entry.create_index = 3;
  entry.modify_index = 7;
  return entry;
}

TEST(AnswerTest, Entries) {
  consul::KvEntry full = Entry("a/b", std::string("\0\xff\x01", 3));
  full.flags = UINT64_MAX;
  full.lock_index = 2;
  full.session = "5c1a";
  const HttpResponse response = EntriesAnswer({full, Entry("c", "")}, {});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(response.body,
            R"([{"LockIndex":2,"Key":"a/b","Flags":18446744073709551615,"Value":"AP8B","Session":"5c1a",)"
            R"("CreateIndex":3,"ModifyIndex":7},{"LockIndex":0,"Key":"c","Flags":0,"Value":null,)"
            R"("CreateIndex":3,"ModifyIndex":7}])");
}

TEST(AnswerTest, PrettyEntries) {
  EXPECT_EQ(EntriesAnswer({Entry("c", "v")}, {false, true}).body,
            "[\n    {\n        \"LockIndex\": 0,\n        \"Key\": \"c\",\n        \"Flags\": 0,\n"
            "        \"Value\": \"dg==\",\n        \"CreateIndex\": 3,\n        \"ModifyIndex\": 7\n    }\n]\n");
}

// Would break if a value came out as anything but its bytes, or could run as a page of ours.
TEST(AnswerTest, Raw) {
  const std::string value = std::string("<script>\0\xff\r\n", 12);
  const HttpResponse response = EntriesAnswer({Entry("a", value)}, {true, true});
  EXPECT_EQ(response.body, value);
  EXPECT_EQ(response.content_type, "text/plain");
  EXPECT_THAT(response.headers, ElementsAre(Pair("Content-Security-Policy", "sandbox")));
  EXPECT_EQ(EntriesAnswer({Entry("a", "")}, {true, false}).body, "");
}

TEST(AnswerTest, NoEntries) {
  for (const EntriesFormat format : {EntriesFormat{}, EntriesFormat{true, false}, EntriesFormat{false, true}}) {
    const HttpResponse response = EntriesAnswer({}, format);
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.content_type, "");
  }
  EXPECT_EQ(KeysAnswer({}, "", "/", false).status, 404);
}

// Would break if one key that is no UTF-8, which Consul takes, made a whole list unreadable.
TEST(AnswerTest, StrangeKeys) {
  EXPECT_EQ(KeysAnswer({Entry("a\xff", ""), Entry("a\n\"", "")}, "a", "", false).body,
            "[\"a\uFFFD\",\"a\\u000a\\\"\"]");
}

TEST(AnswerTest, Keys) {
  const std::vector<consul::KvEntry> entries = {Entry("a/", ""), Entry("a/b/c", ""), Entry("a/b/d", ""),
                                                Entry("a/bb", ""), Entry("a/e//f", "")};
  const auto keys = [&](const std::string& prefix, const std::string& separator) {
    return KeysAnswer(entries, prefix, separator, false).body;
  };
  EXPECT_EQ(keys("a", ""), R"(["a/","a/b/c","a/b/d","a/bb","a/e//f"])");
  EXPECT_EQ(keys("a", "/"), R"(["a/"])");
  EXPECT_EQ(keys("a/", "/"), R"(["a/","a/b/","a/bb","a/e/"])");
  EXPECT_EQ(keys("a/e/", "//"), R"(["a/","a/b/c","a/b/d","a/bb","a/e//f"])");
  EXPECT_EQ(keys("a", "//"), R"(["a/","a/b/c","a/b/d","a/bb","a/e//"])");
  EXPECT_EQ(KeysAnswer({Entry("k", "")}, "", "/", true).body, "[\n    \"k\"\n]\n");
}

// Would break if a client of Consul's saw a code that Consul does not have for it, and retried or gave up wrongly.
TEST(AnswerTest, Errors) {
  using absl::StatusCode;
  const std::pair<StatusCode, int> table[] = {
      {StatusCode::kInvalidArgument, 400},   {StatusCode::kUnauthenticated, 403}, {StatusCode::kPermissionDenied, 403},
      {StatusCode::kNotFound, 404},          {StatusCode::kAborted, 409},         {StatusCode::kResourceExhausted, 429},
      {StatusCode::kUnimplemented, 501},     {StatusCode::kUnavailable, 500},     {StatusCode::kDeadlineExceeded, 500},
      {StatusCode::kInternal, 500},          {StatusCode::kUnknown, 500},         {StatusCode::kCancelled, 500},
      {StatusCode::kFailedPrecondition, 500}};
  for (const auto& [code, status] : table) {
    const HttpResponse response = ErrorAnswer(absl::Status(code, "what it is"));
    EXPECT_EQ(response.status, status) << code;
    EXPECT_EQ(response.body, "what it is\n");
    EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
    EXPECT_THAT(response.headers, IsEmpty());
  }
  const HttpResponse later = ErrorAnswer(WithRetryAfter(
      MakeError(StatusCode::kUnavailable, reason::kConsulUnavailable, "away"), absl::Milliseconds(1200)));
  EXPECT_THAT(later.headers, ElementsAre(Pair("X-Meshgate-Reason", "CONSUL_UNAVAILABLE"), Pair("Retry-After", "2")));
}

// Would break if the log and the metrics took a refusal for a success.
TEST(AnswerTest, StatusOfAnswer) {
  using absl::StatusCode;
  const std::pair<int, StatusCode> table[] = {{200, StatusCode::kOk},
                                              {301, StatusCode::kOk},
                                              {400, StatusCode::kInvalidArgument},
                                              {401, StatusCode::kPermissionDenied},
                                              {403, StatusCode::kPermissionDenied},
                                              {404, StatusCode::kNotFound},
                                              {405, StatusCode::kInvalidArgument},
                                              {409, StatusCode::kAborted},
                                              {413, StatusCode::kInvalidArgument},
                                              {429, StatusCode::kResourceExhausted},
                                              {500, StatusCode::kUnavailable},
                                              {501, StatusCode::kUnimplemented},
                                              {503, StatusCode::kUnavailable}};
  for (const auto& [status, code] : table) EXPECT_EQ(StatusOfAnswer(status).code(), code) << status;
}

TEST(AnswerTest, Meta) {
  consul::CachedState state;
  state.index = UINT64_MAX;
  state.age = absl::Seconds(3);
  HttpResponse fresh;
  AddMeta(state, &fresh);
  EXPECT_THAT(fresh.headers, ElementsAre(Pair("X-Consul-Index", "18446744073709551615"),
                                         Pair("X-Consul-Knownleader", "true"), Pair("X-Consul-Lastcontact", "0")));
  state.stale = true;
  HttpResponse stale;
  AddMeta(state, &stale);
  EXPECT_THAT(stale.headers, ElementsAre(Pair("X-Consul-Index", "18446744073709551615"),
                                         Pair("X-Consul-Knownleader", "false"), Pair("X-Consul-Lastcontact", "3000")));
}

TEST(AnswerTest, Queries) {
  const HttpResponse none = QueryAnswerOf({404, ""});
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.content_type, "");
  const HttpResponse some = QueryAnswerOf({200, "[1]"});
  EXPECT_EQ(some.status, 200);
  EXPECT_EQ(some.content_type, "application/json");
  EXPECT_EQ(some.body, "[1]");
}

}  // namespace
}  // namespace meshgate::server::consul_api
