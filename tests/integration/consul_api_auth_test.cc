// Access control of Consul's own API: whoever calls through the gateway may do what the agent lets it do, and no more.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/auth_fixture.h"
#include "tests/integration/consul_api_calls.h"

namespace meshgate::testing {
namespace {

constexpr char kCanary[] = "canary-of-the-key";
// Of an instance.
constexpr char kTag[] = "canary-of-the-tag";

class ConsulApiAuthTest : public AuthFixture {
 protected:
  void SetUp() override {
    AuthFixture::SetUp();
    MakePolicy("allowed", kAllowed);
    MakePolicy("else", R"(key_prefix "else/" { policy = "write" } service "else" { policy = "write" })");
    MakeToken(Secret(1), "allowed");
    MakeToken(Secret(2), "else");
    Put("app/k", kCanary);
    RegisterTagged(kTag);
    ASSERT_EQ(agent_.Call("PUT", "/v1/session/create", "{}", kRoot).code, 200);
  }

  void Register(const std::string& service, const std::string& tag) {
    const auto answer =
        agent_.Call("PUT", "/v1/agent/service/register",
                    absl::StrCat(R"({"Name": ")", service, R"(", "ID": ")", service, R"(-1", "Tags": [")", tag,
                                 R"("], "Check": {"TTL": "60s", "Notes": ")", tag, "\"}}"),
                    kRoot);
    ASSERT_EQ(answer.code, 200) << answer.body;
  }
  void RegisterTagged(const std::string& tag) { Register("web", tag); }

  // Requests to Consul's API since the gateway began.
  double Started() {
    double started = 0;
    for (const char* family : {"Kv", "Health", "Catalog"}) {
      started += gateway_
                     ->Metric(absl::StrCat("grpc_server_started_total{grpc_method=\"", family,
                                           "\",grpc_service=\"consul.v1\",grpc_type=\"unary\"}"))
                     .value_or(0);
    }
    return started;
  }
  bool WaitForStarted(double count) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (absl::Now() < end) {
      if (Started() >= count) return true;
    }
    return false;
  }

  ApiAnswer Ask(const std::string& method, const std::string& target, const std::string& token = "",
                const std::string& body = "") {
    return CallApi(gateway_->http_address(), method, target, token, body);
  }
  ApiAnswer AskAgent(const std::string& method, const std::string& target, const std::string& token = "",
                     const std::string& body = "") {
    return CallApi(AddressOf(agent_), method, target, token, body);
  }

  static bool Tells(const ApiAnswer& answer, const std::string& secret) {
    return answer.Holds(secret) || answer.Holds(absl::Base64Escape(secret));
  }

  static constexpr char kAllowed[] =
      R"(key_prefix "app/" { policy = "write" } service_prefix "web" { policy = "write" })"
      R"( node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" } session_prefix "" { policy = "write" })";
};

struct Row {
  std::string method, target, body;
  // What whoever may read it is told; empty: nothing of the kind.
  std::string told;
};

// Would break if the gateway let somebody do what the agent does not, kept somebody from what it does let it do, or
// told it a byte of what it may not read: whatever the family, and from wherever the answer comes.
TEST_F(ConsulApiAuthTest, EachTokenIsAnsweredAsTheAgentAnswersIt) {
  std::vector<Row> rows = {
      {"PUT", "/v1/kv/app/put", "x", ""},
      {"DELETE", "/v1/kv/app/put", "", ""},
      {"PUT", "/v1/txn", R"([{"KV": {"Verb": "get", "Key": "app/k"}}])", kCanary},
      {"PUT", "/v1/txn", R"([{"KV": {"Verb": "set", "Key": "app/txn", "Value": "eA=="}}])", ""},
      {"GET", "/v1/agent/services", "", kTag},
      {"GET", "/v1/agent/service/web-1", "", kTag},
      {"GET", "/v1/agent/checks", "", kTag},
      {"GET", "/v1/agent/self", "", ""},
      {"GET", "/v1/agent/health/service/name/web", "", kTag},
      {"PUT", "/v1/agent/service/register", R"({"Name": "web", "ID": "web-2", "Check": {"TTL": "60s"}})", ""},
      {"PUT", "/v1/agent/check/register", R"({"Name": "c", "ServiceID": "web-1", "TTL": "60s"})", ""},
      {"PUT", "/v1/agent/check/pass/service:web-1", "", ""},
      {"PUT", "/v1/session/create", R"({"TTL": "60s"})", ""},
      {"PUT", "/v1/session/renew/00000000-0000-0000-0000-000000000000", "", ""},
      {"GET", "/v1/coordinate/nodes", "", ""},
      {"GET", "/v1/status/leader", "", ""},
      {"GET", "/v1/acl/token/self", "", ""},
      {"GET", "/v1/acl/tokens", "", ""},
      {"GET", "/v1/operator/raft/configuration", "", ""},
      {"GET", "/v1/nothing", "", ""},
      {"PUT", "/v1/nothing", "", ""},
  };
  const std::pair<const char*, const char*> reads[] = {
      {"/v1/kv/app/k", kCanary},        {"/v1/kv/app/k?raw", kCanary},   {"/v1/kv/app/?recurse", kCanary},
      {"/v1/kv/?recurse", kCanary},     {"/v1/kv/app/?keys", "app/k"},   {"/v1/kv/app/missing", ""},
      {"/v1/health/service/web", kTag}, {"/v1/health/checks/web", kTag}, {"/v1/health/state/any", kTag},
      {"/v1/health/node/nobody", ""},   {"/v1/catalog/services", kTag},  {"/v1/catalog/service/web", kTag},
      {"/v1/catalog/nodes", ""},        {"/v1/session/list", ""},
  };
  for (const auto& [path, told] : reads) {
    // An index of long ago: there is news at once.
    for (const char* how : {"", "stale", "consistent", "cached", "index=1&wait=2s", "index=1&wait=2s&stale"}) {
      const std::string target = path;
      const char separator = target.find('?') == std::string::npos ? '?' : '&';
      rows.push_back({"GET", *how == '\0' ? target : absl::StrCat(target, std::string(1, separator), how), "", told});
    }
  }
  for (const Row& row : rows) {
    for (const std::string& token : {std::string(), std::string(kUnknown), Secret(2), Secret(1)}) {
      SCOPED_TRACE(absl::StrCat(row.method, " ", row.target, " by ", token));
      const ApiAnswer answer = Ask(row.method, row.target, token, row.body);
      const ApiAnswer direct = AskAgent(row.method, row.target, token, row.body);
      EXPECT_EQ(answer.status(), direct.status()) << answer.bytes << direct.bytes;
      if (token == Secret(1)) {
        EXPECT_EQ(row.told.empty() || Tells(answer, row.told), true) << answer.bytes;
        continue;
      }
      for (const char* secret : {kCanary, kTag}) EXPECT_FALSE(Tells(answer, secret)) << answer.bytes;
      for (const char* secret : {kGateway, kRoot}) EXPECT_FALSE(answer.Holds(secret)) << answer.bytes;
      if (!row.told.empty() && row.told != "app/k") continue;
      EXPECT_FALSE(answer.Holds("\"app/k\"")) << answer.bytes;
    }
  }
}

std::string With(const std::string& target, const std::string& parameter) {
  return absl::StrCat(target, target.find('?') == std::string::npos ? "?" : "&", parameter);
}

// Would break if somebody whose token is gone, or may do less, were told what was written after that because it had
// asked before.
TEST_F(ConsulApiAuthTest, WhoLosesItsPermissionWhileItWaitsIsToldNothingMore) {
  int number = 10;
  const struct {
    std::string target;
    // The agent itself tells it whoever asked before it was narrowed.
    bool agent_tells;
  } rows[] = {{"/v1/kv/app/k", false},           {"/v1/kv/app/k?raw", false},        {"/v1/kv/app/?recurse", false},
              {"/v1/health/service/web", false}, {"/v1/catalog/service/web", false}, {"/v1/catalog/services", true}};
  for (const auto& [target, agent_tells] : rows) {
    for (const bool revoked : {true, false}) {
      SCOPED_TRACE(absl::StrCat(target, revoked ? ", revoked" : ", narrowed"));
      const std::string policy = absl::StrCat("waits-", ++number);
      MakePolicy(policy, kAllowed);
      MakeToken(Secret(number), policy);
      const double started = Started();
      const ApiAnswer first = Ask("GET", target, Secret(number));
      ASSERT_EQ(first.status(), 200) << first.bytes;
      const std::string waits = With(target, absl::StrCat("wait=20s&index=", first.index()));
      ApiCall other(gateway_->http_address(), "GET", waits, Secret(1));
      ApiCall waiting(gateway_->http_address(), "GET", waits, Secret(number));
      ApiCall direct(AddressOf(agent_), "GET", waits, Secret(number));
      ASSERT_TRUE(WaitForStarted(started + 3));
      revoked ? DeleteToken(Secret(number)) : MakePolicy(policy, R"(key "nothing" { policy = "read" })");
      // Nothing has changed yet, and what is known is known from when it might read it.
      for (const char* how : {"stale", "cached", "index=1&wait=10s"}) {
        if (!revoked) break;
        const ApiAnswer known = Ask("GET", With(target, how), Secret(number));
        EXPECT_EQ(known.status(), 403) << how << known.bytes;
      }
      const std::string after = absl::StrCat("after-", number);
      Put("app/k", after);
      RegisterTagged(after);
      EXPECT_TRUE(Tells(other.Wait(), after));
      const ApiAnswer answer = waiting.Wait();
      EXPECT_NE(answer.status(), 0) << "cut";
      if (agent_tells && !revoked) {
        EXPECT_TRUE(Tells(direct.Wait(), after)) << "Consul is stricter now: be so, too";
      } else {
        EXPECT_FALSE(Tells(answer, after)) << answer.bytes;
      }
      EXPECT_FALSE(Tells(Ask("GET", target, Secret(number)), after));
    }
  }
}

// Would break if what is asked once for all who ask the same were told to somebody with another token.
TEST_F(ConsulApiAuthTest, NobodyIsAnsweredWithWhatAnotherTokenSees) {
  for (const auto& [number, service] : {std::pair(3, "web"), std::pair(4, "db")}) {
    const std::string policy = absl::StrCat("sees-", number);
    MakePolicy(policy, absl::StrCat(R"(service ")", service, R"(" { policy = "read" } key_prefix "of-)", number,
                                    R"(/" { policy = "read" } node_prefix "" { policy = "read" })"));
    MakeToken(Secret(number), policy);
    Register(service, absl::StrCat("seen-by-", number));
    Put(absl::StrCat("of-", number, "/seen-by-", number), "x");
  }
  for (const std::string target : {"/v1/catalog/services", "/v1/health/state/any", "/v1/kv/?keys"}) {
    for (const char* how : {"stale", "cached", "index=1&wait=10s", "index=1&wait=10s&stale"}) {
      for (int i = 0; i < 4; ++i) {
        const int number = 3 + i % 2;
        SCOPED_TRACE(absl::StrCat(target, " ", how, " by ", number));
        const ApiAnswer answer = Ask("GET", With(target, how), Secret(number));
        EXPECT_EQ(answer.status(), 200) << answer.bytes;
        EXPECT_TRUE(answer.Holds(absl::StrCat("seen-by-", number))) << answer.bytes;
        EXPECT_FALSE(answer.Holds(absl::StrCat("seen-by-", 7 - number))) << answer.bytes;
      }
    }
  }
  int round = 0;
  for (const std::string target : {"/v1/catalog/services", "/v1/health/state/any", "/v1/kv/?keys"}) {
    SCOPED_TRACE(target);
    const uint64_t index = Ask("GET", With(target, "stale"), Secret(3)).index();
    const std::string waits = With(target, absl::StrCat("wait=20s&index=", index));
    ApiCall third(gateway_->http_address(), "GET", waits, Secret(3));
    ApiCall fourth(gateway_->http_address(), "GET", waits, Secret(4));
    ++round;
    Put(absl::StrCat("of-3/later-", round), "x");
    Put(absl::StrCat("of-4/later-", round), "x");
    Register("web", absl::StrCat("later-of-3-", round));
    Register("db", absl::StrCat("later-of-4-", round));
    const ApiAnswer of_third = third.Wait();
    const ApiAnswer of_fourth = fourth.Wait();
    EXPECT_EQ(of_third.status(), 200) << of_third.bytes;
    EXPECT_EQ(of_fourth.status(), 200) << of_fourth.bytes;
    EXPECT_FALSE(of_third.Holds("by-4") || of_third.Holds("of-4")) << of_third.bytes;
    EXPECT_FALSE(of_fourth.Holds("by-3") || of_fourth.Holds("of-3")) << of_fourth.bytes;
  }
}

// Would break if whoever reaches a gateway that asks nobody could, with the gateway's token, see or change who may do
// what, or end the agent.
TEST_F(ConsulApiAuthTest, TheGatewaysTokenIsNotLentToWhatRulesConsul) {
  ChildProcess::Options process;
  process.environment.emplace_back("CONSUL_HTTP_TOKEN", kRoot);
  GatewayProcess lending({"--backend=consul", "--consul_address=" + agent_.url(), "--auth=none"}, process);
  ASSERT_TRUE(lending.listening());
  const auto ask = [&](const std::string& method, const std::string& target, const std::string& token = "",
                       const std::string& body = "") {
    return CallApi(lending.http_address(), method, target, token, body);
  };
  const Row lent[] = {
      {"GET", "/v1/kv/app/k?raw", "", kCanary},
      {"GET", "/v1/kv/app/k?raw&stale", "", kCanary},
      {"GET", "/v1/health/service/web", "", kTag},
      {"GET", "/v1/agent/services", "", kTag},
      {"PUT", "/v1/kv/app/lent", "x", ""},
      {"PUT", "/v1/session/create", "{}", ""},
      {"PUT", "/v1/agent/service/register", R"({"Name": "lent"})", ""},
  };
  for (const Row& row : lent) {
    const ApiAnswer answer = ask(row.method, row.target, "", row.body);
    EXPECT_EQ(answer.status(), 200) << row.target << answer.bytes;
    EXPECT_TRUE(answer.Holds(row.told)) << row.target << answer.bytes;
    // Its own is the caller's, whatever it may.
    const ApiAnswer own = ask(row.method, row.target, Secret(2), row.body);
    EXPECT_EQ(own.status(), AskAgent(row.method, row.target, Secret(2), row.body).status()) << row.target << own.bytes;
    for (const char* secret : {kCanary, kTag}) EXPECT_FALSE(Tells(own, secret)) << row.target << own.bytes;
  }
  const Row kept[] = {
      {"GET", "/v1/acl/tokens", "", ""},
      {"GET", "/v1/acl/policies", "", ""},
      {"GET", "/v1/acl/token/self", "", ""},
      {"PUT", "/v1/acl/token", "{}", ""},
      {"PUT", "/v1/acl/policy", R"({"Name": "mine"})", ""},
      {"PUT", "/v1/acl/role", R"({"Name": "mine"})", ""},
      {"PUT", "/v1/acl/auth-method", R"({"Name": "mine", "Type": "kubernetes"})", ""},
      {"GET", "/v1/operator/raft/configuration", "", ""},
      {"DELETE", "/v1/operator/raft/peer?address=127.0.0.1:1", "", ""},
      {"GET", "/v1/operator/autopilot/configuration", "", ""},
      {"PUT", "/v1/operator/autopilot/configuration", "{}", ""},
      {"GET", "/v1/operator/keyring", "", ""},
      {"PUT", "/v1/agent/leave", "", ""},
      {"PUT", "/v1/agent/force-leave/nobody", "", ""},
      {"PUT", "/v1/agent/reload", "", ""},
      {"PUT", "/v1/agent/join/127.0.0.1", "", ""},
      {"PUT", "/v1/agent/maintenance?enable=true", "", ""},
      {"PUT", "/v1/agent/token/default", R"({"Token": "x"})", ""},
      {"GET", "/v1/agent/monitor", "", ""},
      {"GET", "/v1/agent/metrics", "", ""},
      {"GET", "/v1/agent/host", "", ""},
      {"GET", "/v1/agent/connect/ca/leaf/web", "", ""},
      {"GET", "/v1/connect/ca/configuration", "", ""},
      {"PUT", "/v1/connect/ca/configuration", R"({"Provider": "consul", "Config": {}})", ""},
      {"GET", "/v1/connect/ca/roots", "", ""},
      {"PUT", "/v1/config", R"({"Kind": "service-defaults", "Name": "web", "Protocol": "http"})", ""},
      {"GET", "/v1/snapshot", "", ""},
      {"PUT", "/v1/snapshot", "x", ""},
  };
  for (const Row& row : kept) {
    SCOPED_TRACE(row.method + " " + row.target);
    const ApiAnswer answer = ask(row.method, row.target, "", row.body);
    const ApiAnswer direct = AskAgent(row.method, row.target, "", row.body);
    EXPECT_EQ(answer.status(), direct.status()) << answer.bytes << direct.bytes;
    EXPECT_EQ(row.target == "/v1/connect/ca/roots" || answer.status() >= 400, true) << answer.bytes;
    EXPECT_FALSE(answer.Holds(kRoot)) << answer.bytes;
  }
  for (const char* target :
       {"/v1/kv/../acl/token/self", "/v1/kv/%2e%2e/acl/token/self", "/v1/kv/..%2facl/token/self", "/v1//acl/token/self",
        "/v1/agent/self/../../acl/token/self", "/v1/health/service/x/../../../acl/token/self", "//v1/acl/token/self",
        "/v1/./acl/token/self", "/v1/kv/%2e%2e%2facl%2ftoken%2fself", "/v1/kv/..;/acl/token/self",
        "/v1/kv/..%5cacl/token/self", "/v1/kv/%252e%252e/acl/token/self"}) {
    const ApiAnswer answer = ask("GET", target);
    EXPECT_NE(answer.status(), 200) << target << answer.bytes;
    EXPECT_FALSE(answer.Holds(kRoot)) << target << answer.bytes;
  }
  // Whoever has it may.
  EXPECT_TRUE(ask("GET", "/v1/acl/token/self", kRoot).Holds(kRoot));
  EXPECT_EQ(ask("GET", "/v1/operator/raft/configuration", kRoot).status(), 200);
  EXPECT_EQ(agent_.Call("GET", "/v1/status/leader").code, 200) << agent_.Log();
}

}  // namespace
}  // namespace meshgate::testing
