// Every route with what it must refuse: each has its code, says what is wrong, and changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/http/api/json.h"
#include "tests/server/http/api/api_harness.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class BadRequestsTest : public ApiHarness {
 protected:
  void ExpectRefused(int status, const std::string& says, const std::string& method, const std::string& target,
                     const Headers& headers = {}, const std::string& body = "") {
    const HttpResponse response = Ask(method, target, headers, body);
    EXPECT_EQ(response.status, status) << method << " " << target << " " << body.substr(0, 100);
    EXPECT_THAT(response.body, HasSubstr(says)) << method << " " << target;
    EXPECT_EQ(response.content_type, "application/json");
    EXPECT_EQ(backend_.calls().size(), 0u) << method << " " << target;
  }
  // A path of the route.
  static std::string PathOf(const api::Route& route) {
    return absl::StrReplaceAll(route.pattern, {{"{key=**}", "a"}, {"{service}", "web"}, {"{id}", "web-1"}});
  }
};

// Would break if a wrong method of any path were answered with something else than which ones there are.
TEST_F(BadRequestsTest, WrongMethods) {
  for (const api::Route& route : routes_) {
    std::set<std::string> here;
    for (const api::Route& other : routes_) {
      if (other.pattern == route.pattern) here.insert(other.method);
    }
    for (const char* method : {"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"}) {
      if (here.count(method) > 0) continue;
      const HttpResponse response = Ask(method, PathOf(route));
      EXPECT_EQ(response.status, 405) << method << " " << route.pattern;
      const std::vector<std::string> allowed = absl::StrSplit(HeaderOf(response, "Allow"), ", ");
      for (const std::string& one : here) EXPECT_THAT(allowed, ::testing::Contains(one)) << route.pattern;
    }
  }
}

// Would break if a path that is almost right did something.
TEST_F(BadRequestsTest, UnknownPaths) {
  for (const char* path :
       {"/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/config/a", "/API/v1/config/a", "/api/v1/configs",
        "/api/v1//config/a", "/api/v1/%63onfig/a", "/api/v1/services/", "/api/v1/services/a/b", "/api/v1/instances",
        "/api/v1/instances/", "/api/v1/instances/a/b", "/api/v1/instances/a/heartbeat/", "/api/v1/commit/",
        "/api/v1/watch", "/api/v1/watch/services", "/api/v1/watch/services/"}) {
    for (const char* method : {"GET", "PUT", "POST", "DELETE", "PATCH"}) {
      const bool registers = std::string(path) == "/api/v1/instances";
      if (registers && method == std::string("POST")) continue;
      ExpectRefused(registers ? 405 : 404, registers ? "METHOD_NOT_ALLOWED" : "NO_SUCH_PATH", method, path);
    }
  }
}

// Would break if a write went through without the condition that it was sent with, on any route.
TEST_F(BadRequestsTest, Conditions) {
  int checked = 0;
  for (const api::Route& route : routes_) {
    if (route.method == "GET") continue;
    for (const char* condition : {"If-Match", "If-None-Match", "If-Unmodified-Since"}) {
      const auto& taken = route.conditions;
      if (std::find(taken.begin(), taken.end(), condition) != taken.end()) continue;
      const std::string path = std::regex_replace(route.pattern, std::regex("\\{[^}]*\\}"), "a");
      const HttpResponse answer = Ask(route.method, path, {{absl::AsciiStrToLower(condition), "\"1\""}});
      EXPECT_EQ(answer.status, 400) << route.method << " " << path;
      EXPECT_THAT(answer.body, ::testing::HasSubstr(condition)) << route.method << " " << path;
      ++checked;
    }
  }
  EXPECT_GT(checked, 10);
  EXPECT_TRUE(backend_.calls().empty());
}

// Would break if a misspelt, repeated or malformed parameter were passed over, on any route.
TEST_F(BadRequestsTest, Parameters) {
  for (const api::Route& route : routes_) {
    const std::string path = PathOf(route);
    const std::string says = route.parameters.empty() ? "takes no parameters" : "unknown parameter";
    ExpectRefused(400, says, route.method, path + "?no_such=1");
    ExpectRefused(400, says, route.method, path + "?Raw");
    ExpectRefused(400, "\\\"%\\\"", route.method, path + "?x=%zz");
    for (const api::Parameter& parameter : route.parameters) {
      if (parameter.name == "tags") continue;
      ExpectRefused(400, parameter.name + ": is given more than once", route.method,
                    path + "?" + parameter.name + "=true&" + parameter.name + "=true");
      if (!parameter.flag) continue;
      ExpectRefused(400, parameter.name + ": must be true or false", route.method, path + "?" + parameter.name + "=1");
    }
  }
}

// Would break if a number, a duration or a name that makes no sense were guessed at.
TEST_F(BadRequestsTest, Values) {
  const std::string key = "/api/v1/config/a", list = "/api/v1/config?prefix=a&";
  for (const char* index : {"-1", "", "1.5", "0x1", " 1", "+1", "18446744073709551616", "1e3", "%EF%BC%91"}) {
    ExpectRefused(400, "min_index: must be a whole number", "GET", key + "?min_index=" + index);
    ExpectRefused(400, "if_modify_index: must be a whole number", "PUT", key + "?if_modify_index=" + index);
    ExpectRefused(400, "page_size: must be a whole number", "GET", list + "page_size=" + index);
  }
  for (const char* wait : {"1", "0", "", "-1s", "0s", "999ms", "11m", "inf", "30", "1 s", "s"}) {
    ExpectRefused(400, "wait: must be from 1s to 10m", "GET", "/api/v1/watch/config/a?wait=" + std::string(wait));
  }
  for (const char* age : {"1", "0", "", "inf", "-inf", "s", "1x"}) {
    ExpectRefused(400, "max_age: must be a number with its unit", "GET", key + "?max_age=" + age);
  }
  ExpectRefused(400, "max_age", "GET", key + "?max_age=-1s");
  ExpectRefused(400, "consistency: must be one of cached, default, consistent, stale", "GET", key + "?consistency=x");
  ExpectRefused(400, "consistency", "GET", key + "?consistency=unspecified");
  ExpectRefused(400, "keys_only: must be true or false", "GET", list + "keys_only=1");
  ExpectRefused(400, "datacenter", "GET", key + "?datacenter=a/b");
  ExpectRefused(400, "INVALID_PAGE_TOKEN", "GET", list + "page_token=x");
  ExpectRefused(400, "resume_token", "GET", "/api/v1/watch/config/a?after=x");
  ExpectRefused(400, "resume_token", "GET", "/api/v1/watch/config/a", {{"last-event-id", "x"}});
  ExpectRefused(400, "progress_interval", "GET", "/api/v1/watch/config/a?progress_interval=1ms");
  ExpectRefused(400, "progress_interval: goes with a stream", "GET",
                "/api/v1/watch/config/a?wait=1s&progress_interval=5s");
  ExpectRefused(400, "target", "GET", "/api/v1/watch/config");
  ExpectRefused(406, "text/event-stream", "GET", "/api/v1/watch/config/a", {{"accept", "application/json"}});
}

// Would break if a key or a name that Consul takes for another one got there.
TEST_F(BadRequestsTest, Names) {
  const std::string paths[] = {"",  "/a",  "a//b",  "a/../b", "a/%2e%2e/b",
                               ".", "%00", "a%0Ab", "%ff",    std::string(1025, 'k')};
  for (const std::string& key : paths) {
    for (const char* method : {"GET", "PUT", "DELETE"}) ExpectRefused(400, "key: ", method, "/api/v1/config/" + key);
    ExpectRefused(400, "key: ", "GET", "/api/v1/watch/config/" + key);
  }
  for (const char* service : {"a.b", "-a", "a%2Fb", "%00", "a%20b"}) {
    ExpectRefused(400, "service: ", "GET", "/api/v1/services/" + std::string(service));
    ExpectRefused(400, "service: ", "GET", "/api/v1/watch/services/" + std::string(service));
  }
  for (const char* id : {"a%2Fb", "%20a", "%00"}) {
    ExpectRefused(400, "id: ", "DELETE", "/api/v1/instances/" + std::string(id));
    ExpectRefused(400, "id: ", "PUT", "/api/v1/instances/" + std::string(id) + "/heartbeat");
  }
  ExpectRefused(400, "key: a ", "GET", "/api/v1/config/%zz");
}

// Would break if a body that is not what it should be were taken for a part of it, or an error showed what was in it.
TEST_F(BadRequestsTest, Bodies) {
  const std::string key = "/api/v1/config/a", commit = "/api/v1/commit", instances = "/api/v1/instances";
  const Headers json = {kJson};
  const std::string secret = "s3cret";
  const std::string bad[] = {"",
                             "{",
                             "x",
                             "[]",
                             "\"x\"",
                             "1",
                             "{} {}",
                             "{\"operations\":1}",
                             "{\"operations\":[1]}",
                             "{\"no_such\":1}",
                             R"({"operations":[{"put":{"key":"a","value":"s3cret!"}}]})",
                             R"({"operations":[{"put":{"key":"a","value":"a"}}]})",
                             R"({"operations":[{"put":{"key":"a","flags":"-1"}}]})",
                             R"({"operations":[{"put":{"key":"a","flags":"s3cret"}}]})",
                             R"({"operations":[{"put":{"key":"a"},"delete":{"key":"a"}}]})",
                             std::string("{\"datacenter\":\"\xff\"}"),
                             R"({"operations":[{"put":{"key":"a","value":"s3cret" x}}]})"};
  for (const std::string& body : bad) {
    const HttpResponse response = Ask("POST", commit, json, body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_THAT(response.body, Not(HasSubstr(secret))) << body;
    EXPECT_THAT(response.body, HasSubstr("google.rpc.BadRequest")) << body;
  }
  EXPECT_EQ(backend_.calls().size(), 0u);
  ExpectRefused(400, "body", "PUT", key, json, "{\"value\":\"%%\"}");
  ExpectRefused(400, "key: the body has another value", "PUT", key, json, "{\"key\":\"b\"}");
  ExpectRefused(400, "if_modify_index: the body has it, too", "PUT", key + "?if_modify_index=1", json,
                "{\"if_modify_index\":\"1\"}");
  ExpectRefused(400, "if_modify_index: a header", "PUT", key, {kJson, {"if-match", "\"1\""}},
                "{\"if_modify_index\":\"1\"}");
  ExpectRefused(415, "application/json", "POST", commit, {}, "{}");
  ExpectRefused(415, "application/json", "POST", commit, {{"content-type", "text/plain"}}, "{}");
  ExpectRefused(415, "application/json", "POST", instances, {{"content-type", "application/x-www-form-urlencoded"}},
                "{}");
  ExpectRefused(400, "body: required", "POST", instances, json, "");
  ExpectRefused(400, "has none", "GET", key, json, "{}");
  ExpectRefused(400, "has none", "DELETE", key, {}, "x");
  ExpectRefused(400, "VALUE_TOO_LARGE", "PUT", key, {}, std::string(524289, 'x'));
  // More than 64 parts, and more levels than any message has.
  std::string parts = "{}";
  for (int i = 0; i < 64; ++i) parts += ",{}";
  ExpectRefused(400, "operations", "POST", commit, json, "{\"operations\":[" + parts + "]}");
  const std::string deep(2000, '[');
  ExpectRefused(400, "body", "POST", commit, json, "{\"operations\":" + deep);
  std::string objects;
  for (int i = 0; i < 2000; ++i) objects += "{\"instance\":";
  ExpectRefused(400, "body", "POST", instances, json, objects);
  // Many small things in a body that is not large.
  std::string many = "{\"operations\":[{}";
  for (int i = 0; i < 20000; ++i) many += ",{}";
  ExpectRefused(400, "", "POST", commit, json, many + "]}");
}

}  // namespace
}  // namespace meshgate::server
