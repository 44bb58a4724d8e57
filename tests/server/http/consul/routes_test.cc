// Every route with what it must refuse: each with its code, and nothing is asked of Consul or the store.
#include "server/http/consul/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "consul/validate.h"
#include "tests/server/http/consul/consul_harness.h"

namespace meshgate::server::consul_api {
namespace {

// What a route is, once more, and on purpose: a route that is added has to be thought about here.
enum Kind {
  // With Consul: read from the hub or Consul; passed on with the gateway's token; with the caller's alone; a
  // registration of a service, or of a check.
  kRead,
  kLend,
  kOwn,
  kService,
  kCheck,
};
enum Store {
  // 501.
  kNone,
  kReads,
  kKeys,
  kWrites,
  // Takes nothing that could be wrong.
  kAbout,
};
struct Row {
  const char* method;
  const char* pattern;
  Kind kind;
  Store store;
};
constexpr Row kRows[] = {
    {"GET", "/v1/kv/{key=**}", kRead, kKeys},
    {"PUT", "/v1/kv/{key=**}", kLend, kWrites},
    {"DELETE", "/v1/kv/{key=**}", kLend, kWrites},
    {"PUT", "/v1/txn", kLend, kWrites},
    {"GET", "/v1/health/service/{name=**}", kRead, kReads},
    {"GET", "/v1/health/checks/{name=**}", kRead, kReads},
    {"GET", "/v1/health/node/{name=**}", kRead, kNone},
    {"GET", "/v1/health/state/{name=**}", kRead, kNone},
    {"GET", "/v1/health/connect/{name=**}", kRead, kNone},
    {"GET", "/v1/health/ingress/{name=**}", kRead, kNone},
    {"GET", "/v1/catalog/datacenters", kLend, kAbout},
    {"GET", "/v1/catalog/nodes", kRead, kNone},
    {"GET", "/v1/catalog/services", kRead, kReads},
    {"GET", "/v1/catalog/service/{name=**}", kRead, kReads},
    {"GET", "/v1/catalog/connect/{name=**}", kRead, kNone},
    {"GET", "/v1/catalog/node/{name=**}", kRead, kNone},
    {"GET", "/v1/catalog/node-services/{name=**}", kRead, kNone},
    {"GET", "/v1/catalog/gateway-services/{name=**}", kRead, kNone},
    {"PUT", "/v1/catalog/register", kLend, kNone},
    {"PUT", "/v1/catalog/deregister", kLend, kNone},
    {"GET", "/v1/agent/self", kLend, kAbout},
    {"GET", "/v1/agent/members", kLend, kNone},
    {"GET", "/v1/agent/services", kLend, kNone},
    {"GET", "/v1/agent/checks", kLend, kNone},
    {"GET", "/v1/agent/service/{id=**}", kLend, kNone},
    {"GET", "/v1/agent/health/service/name/{name=**}", kLend, kNone},
    {"GET", "/v1/agent/health/service/id/{id=**}", kLend, kNone},
    {"PUT", "/v1/agent/service/register", kService, kWrites},
    {"PUT", "/v1/agent/service/deregister/{id=**}", kLend, kWrites},
    {"PUT", "/v1/agent/service/maintenance/{id=**}", kLend, kNone},
    {"PUT", "/v1/agent/check/register", kCheck, kNone},
    {"PUT", "/v1/agent/check/deregister/{id=**}", kLend, kNone},
    {"PUT", "/v1/agent/check/pass/{id=**}", kLend, kWrites},
    {"PUT", "/v1/agent/check/warn/{id=**}", kLend, kWrites},
    {"PUT", "/v1/agent/check/fail/{id=**}", kLend, kWrites},
    {"PUT", "/v1/agent/check/update/{id=**}", kLend, kWrites},
    {"PUT", "/v1/session/create", kLend, kNone},
    {"PUT", "/v1/session/destroy/{id=**}", kLend, kNone},
    {"PUT", "/v1/session/renew/{id=**}", kLend, kNone},
    {"GET", "/v1/session/info/{id=**}", kRead, kNone},
    {"GET", "/v1/session/node/{node=**}", kRead, kNone},
    {"GET", "/v1/session/list", kRead, kNone},
    {"GET", "/v1/status/leader", kLend, kAbout},
    {"GET", "/v1/status/peers", kLend, kAbout},
    {"PUT", "/v1/event/fire/{name=**}", kOwn, kNone},
    {"GET", "/v1/event/list", kLend, kNone},
    {"GET", "/v1/coordinate/nodes", kRead, kNone},
    {"GET", "/v1/coordinate/node/{node=**}", kRead, kNone},
    {"GET", "/v1/coordinate/datacenters", kLend, kNone},
    {"GET", "/v1/{rest=**}", kOwn, kNone},
    {"PUT", "/v1/{rest=**}", kOwn, kNone},
    {"POST", "/v1/{rest=**}", kOwn, kNone},
    {"DELETE", "/v1/{rest=**}", kOwn, kNone},
};

// A path of the route, with `value` for what it leaves open.
std::string PathOf(const Row& row, const std::string& value = "a") {
  const std::string pattern = row.pattern;
  const size_t open = pattern.find('{');
  return open == std::string::npos ? pattern : pattern.substr(0, open) + value;
}
bool IsOpen(const Row& row) { return absl::StrContains(row.pattern, "{"); }

class RoutesTest : public ConsulHarness, public ::testing::WithParamInterface<bool> {
 protected:
  RoutesTest() { stores_ ? ServeStore() : ServeConsul(); }

  void ExpectRefused(int status, const std::string& method, const std::string& target, const std::string& body = "") {
    const HttpResponse response = Get(method, target, {}, body);
    EXPECT_EQ(response.status, status) << method << " " << target << " " << body.substr(0, 100) << response.body;
    EXPECT_NE(response.body, "") << target;
    ExpectNothingAsked(method + " " + target);
  }
  void ExpectNothingAsked(const std::string& what) {
    EXPECT_EQ(backend_.calls().size(), 0u) << what;
    EXPECT_EQ(relay_.count(), 0) << what;
  }

  const bool stores_ = GetParam();
};
INSTANTIATE_TEST_SUITE_P(, RoutesTest, ::testing::Bool(),
                         [](const auto& mode) { return mode.param ? "Store" : "Consul"; });

// Would break if a route were served that nobody has thought about here.
TEST_P(RoutesTest, AllAreHere) {
  std::set<std::pair<std::string, std::string>> rows, served;
  for (const Row& row : kRows) rows.insert({row.method, row.pattern});
  for (const auto& route : router_.routes()) {
    if (absl::StartsWith(route.second, "/v1/")) served.insert(route);
  }
  EXPECT_EQ(served, rows);
}

// Would break if a wrong method of any path did something, or were answered without which ones there are.
TEST_P(RoutesTest, WrongMethods) {
  std::map<std::string, std::set<std::string>> methods;
  for (const Row& row : kRows) methods[row.pattern].insert(row.method);
  for (const Row& row : kRows) {
    const std::set<std::string>& here = methods[row.pattern];
    for (const char* method : {"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"}) {
      if (here.count(method) > 0) continue;
      const HttpResponse response = Get(method, PathOf(row));
      EXPECT_EQ(response.status, 405) << method << " " << row.pattern;
      const std::vector<std::string> allowed = absl::StrSplit(HeaderOf(response, "Allow"), ", ");
      for (const std::string& one : here) EXPECT_THAT(allowed, ::testing::Contains(one)) << row.pattern;
    }
  }
  ExpectNothingAsked("wrong methods");
}

// Would break if what cannot be read were taken for something, by us or by Consul.
TEST_P(RoutesTest, MalformedQueriesAndPaths) {
  for (const Row& row : kRows) {
    for (const char* query : {"%zz", "a=%", "index=1&index=2", "dc=a&dc=b", "token=a&token=b", "stale&stale"}) {
      ExpectRefused(400, row.method, absl::StrCat(PathOf(row), "?", query));
    }
    if (!IsOpen(row)) continue;
    for (const char* value :
         {"%zz", "a%", "%4", ".", "..", "../a", "a/..", "a/./b", "%2e%2E/a", "a%2F..%2Fb", "a/%2e"}) {
      ExpectRefused(400, row.method, PathOf(row, value));
    }
  }
}

// Would break if a read waited, or did not, on what Consul refuses.
TEST_P(RoutesTest, MalformedReads) {
  for (const Row& row : kRows) {
    const bool reads = stores_ ? row.store == kReads || row.store == kKeys : row.kind == kRead;
    if (!reads) continue;
    for (const char* query : {"index=-1", "index=abc", "index=1.5", "index=18446744073709551616", "index=5&wait=1",
                              "wait=abc", "wait=-5s", "stale&consistent"}) {
      ExpectRefused(400, row.method, absl::StrCat(PathOf(row), "?", query));
    }
  }
}

// Would break if a path were Consul's own after it is decoded, and another route's rules were not asked: the checks of
// a registration above all.
TEST_P(RoutesTest, RoutesInDisguise) {
  const std::string body = R"({"Name":"a","Check":{"Args":["sh"]},"Args":["sh"]})";
  for (const char* path :
       {"/v1/agent/service%2Fregister", "/v1/%61gent/service/register", "/v1/agent%2fcheck%2fregister",
        "/v1/agent/check/%72egister", "/v1/a%67ent/check/register"}) {
    ExpectRefused(400, "PUT", path, body);
  }
  for (const Row& row : kRows) {
    if (row.kind == kOwn) continue;
    const std::string path = PathOf(row);
    ExpectRefused(400, row.method,
                  absl::StrReplaceAll(path, {{path.substr(4, 1), absl::StrCat("%", absl::Hex(path[4]))}}));
  }
}

// Would break if a registration that names a check that may not be made reached Consul, in whatever way it is not read.
TEST_P(RoutesTest, Bodies) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "[";
  for (const Row& row : kRows) {
    const bool json = stores_ ? row.store == kWrites &&
                                    (absl::EndsWith(row.pattern, "register") ||
                                     absl::StrContains(row.pattern, "update") || absl::StrContains(row.pattern, "txn"))
                              : row.kind == kService || row.kind == kCheck;
    if (!json || std::string(row.method) != "PUT") continue;
    for (const std::string& body : {std::string(), std::string("{"), std::string("5"), std::string("\xff"), deep,
                                    "{\"Name\":" + deep, std::string("{} x"), std::string("{\"Name\":\"\xff\"}")}) {
      ExpectRefused(400, row.method, PathOf(row), body);
    }
  }
}

// Would break if what is not served looked as if it were.
TEST_P(RoutesTest, NotServed) {
  if (!stores_) return;
  for (const Row& row : kRows) {
    if (row.store != kNone) continue;
    const HttpResponse response = Get(row.method, PathOf(row));
    EXPECT_EQ(response.status, 501) << row.pattern;
    EXPECT_EQ(Reason(response), "NOT_SERVED");
    EXPECT_THAT(response.body, ::testing::HasSubstr("--backend=consul"));
  }
  ExpectRefused(501, "GET", "/v1/");
  ExpectRefused(501, "GET", "/v1/agent/service/a?index=5&wait=5s");
  ExpectNothingAsked("what is not served");
}

// Would break if the store took what Consul refuses.
TEST_P(RoutesTest, StoreRefuses) {
  if (!stores_) return;
  const std::string large(consul::kMaxValueBytes + 1, 'x');
  ExpectRefused(413, "PUT", "/v1/kv/a", large);
  ExpectRefused(400, "GET", "/v1/kv/");
  ExpectRefused(400, "PUT", "/v1/kv/");
  ExpectRefused(400, "DELETE", "/v1/kv/");
  for (const char* query : {"cas=", "cas=-1", "cas=x", "flags=", "flags=-1", "flags=x"}) {
    ExpectRefused(400, "PUT", absl::StrCat("/v1/kv/a?", query), "v");
  }
  ExpectRefused(400, "DELETE", "/v1/kv/a?cas=x");
  ExpectRefused(400, "DELETE", "/v1/kv/a?recurse&cas=1");
  ExpectRefused(501, "PUT", "/v1/kv/a?acquire=s", "v");
  ExpectRefused(501, "PUT", "/v1/kv/a?release=s", "v");
  ExpectRefused(400, "GET", "/v1/kv/a?dc=a/b");
  ExpectRefused(400, "GET", "/v1/health/service/");
  ExpectRefused(501, "GET", "/v1/health/service/web?near=_agent");
  ExpectRefused(501, "GET", "/v1/catalog/service/web?node-meta=a:b");
  const auto txn = [this](int status, const std::string& kv) {
    ExpectRefused(status, "PUT", "/v1/txn", "[{\"KV\":" + kv + "}]");
  };
  txn(400, "5");
  txn(400, R"({"Verb":"set","Key":"a","Value":"%%%"})");
  txn(400, R"({"Verb":"set","Key":"a","Value":5})");
  txn(400, R"({"Verb":"set","Key":5,"Value":"dg=="})");
  txn(400, R"({"Verb":"set","Key":"a","Value":"dg==","Flags":"5"})");
  txn(400, R"({"Verb":"set","Key":"a","Value":"dg==","Flags":-1})");
  txn(400, R"({"Verb":"cas","Key":"a","Value":"dg==","Index":"5"})");
  txn(400, R"({"Verb":"cas","Key":"a","Value":"dg==","Index":1.5})");
  txn(400, R"({"Verb":"delete-cas","Key":"a","Index":true})");
  txn(400, R"({"Verb":"set","Key":"","Value":"dg=="})");
  txn(501, R"({"Verb":"get","Key":"a"})");
  txn(501, R"({"Verb":"lock","Key":"a","Session":"s"})");
  ExpectRefused(400, "PUT", "/v1/txn", R"([{"Node":{"Verb":"get"}}])");
  ExpectRefused(400, "PUT", "/v1/txn", R"({"KV":{}})");
  ExpectRefused(400, "PUT", "/v1/txn", "[]");
  const auto service = [this](int status, const std::string& body) {
    ExpectRefused(status, "PUT", "/v1/agent/service/register", body);
  };
  service(400, "{}");
  service(400, "null");
  service(400, R"({"Name":5})");
  service(400, R"({"Name":"web","Port":-1})");
  service(400, R"({"Name":"web","Port":1e300})");
  service(400, R"({"Name":"web","Port":80.5})");
  service(400, R"({"Name":"web","Tags":"a"})");
  service(400, R"({"Name":"web","Tags":[5]})");
  service(400, R"({"Name":"web","Meta":{"a":5}})");
  service(400, R"({"Name":"web","Check":[]})");
  service(400, R"({"Name":"web","Checks":{"TTL":"10s"}})");
  service(400, R"({"Name":"web","Check":{"TTL":"10"}})");
  service(400, R"({"Name":"web","Check":{"TTL":"10s","Status":"fine"}})");
  service(400, R"({"Name":"web","Check":{"HTTP":"http://a/","Header":{"a":["1","2"]}}})");
  service(501, R"({"Name":"web","Check":{"Args":["sh"]}})");
  service(501, R"({"Name":"web","Connect":{}})");
  service(501, R"({"Name":"web","EnableTagOverride":true})");
  ExpectRefused(404, "PUT", "/v1/agent/check/pass/web");
  ExpectRefused(400, "PUT", "/v1/agent/check/pass/service:");
  ExpectRefused(400, "PUT", "/v1/agent/check/update/service:a", R"({"Status":"fine"})");
  ExpectRefused(400, "PUT", "/v1/agent/check/update/service:a", R"({"Status":5})");
  ExpectRefused(400, "PUT", "/v1/agent/service/deregister/");
}

// Would break if somebody's own token were not the only one that counts beyond what concerns keys, services, checks
// and sessions: the gateway's may be an administrator's.
TEST_P(RoutesTest, WhoseTokenIsSent) {
  if (stores_) return;
  const std::string body = R"({"Name":"a","TTL":"1s"})";
  for (const Row& row : kRows) {
    const auto token_of = [&](const std::string& query, const Headers& headers) -> std::optional<std::string> {
      FakeConnection* const connection = Start(row.method, PathOf(row) + query, headers, body);
      const auto sent = relay_.Take();
      EXPECT_NE(sent, nullptr) << row.method << " " << row.pattern;
      if (sent == nullptr) return "not sent";
      EXPECT_EQ(sent->request.method, row.method);
      EXPECT_EQ(sent->request.target, PathOf(row)) << "without a token";
      // A read has none that means anything.
      EXPECT_EQ(sent->request.body, std::string(row.method) == "GET" ? "" : body);
      sent->Answer(200, "{}");
      Settle();
      EXPECT_EQ(connection->response().body, "{}");
      return sent->request.token;
    };
    if (row.kind == kOwn) {
      EXPECT_EQ(token_of("", {}), "") << row.pattern;
    } else {
      EXPECT_EQ(token_of("", {}), std::nullopt) << row.pattern;
    }
    EXPECT_EQ(token_of("?token=q", {{"x-consul-token", "h"}}), "q") << row.pattern;
    EXPECT_EQ(token_of("", {{"x-consul-token", "h"}}), "h") << row.pattern;
    EXPECT_EQ(token_of("", {{"authorization", "Bearer b"}}), "b") << row.pattern;
  }
  // What the hub reads in the caller's place goes by the same rule.
  Start("GET", "/v1/health/service/web?stale&token=q");
  EXPECT_EQ(LastCall().read.token, "q");
  Start("GET", "/v1/health/service/web?stale");
  EXPECT_EQ(LastCall().read.token, std::nullopt);
}

// Would break if what only Consul knows were not Consul's to answer, or a part of it were lost on the way.
TEST_P(RoutesTest, UnknownPaths) {
  if (stores_) return;
  for (const char* target : {"/v1/", "/v1/acl/tokens?x=%2F+y", "/v1/operator/raft/configuration", "/v1/agentx",
                             "/v1/config/service-defaults/a%20b", "/v1/agent", "/v1/catalog/", "/v1/txn/"}) {
    Start("GET", target);
    const auto sent = relay_.Take();
    ASSERT_NE(sent, nullptr) << target;
    EXPECT_EQ(sent->request.target, target);
    EXPECT_EQ(sent->request.token, "") << "nothing is lent";
  }
  EXPECT_EQ(Get("GET", "/v1").status, 404);
  EXPECT_EQ(Get("GET", "/v10/kv/a").status, 404);
  EXPECT_EQ(Get("GET", "//v1/kv/a").status, 404);
}

}  // namespace
}  // namespace meshgate::server::consul_api
