// What is gone, and what is only hidden: a real Consul that asks who it is. The rest of the contract is in
// confirm_conformance.cc.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/live_backend.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul {
namespace {

using testing::ConsulAgent;
using Found = std::vector<Presence>;
using FoundOr = absl::StatusOr<Found>;

constexpr char kRoot[] = "11111111-2222-3333-4444-555555555555";

http::ConsulBackendOptions OptionsOf(const std::string& url, const std::string& token) {
  http::ConsulBackendOptions options;
  options.address = url;
  options.token = token;
  return options;
}

FoundOr ConfirmKeys(LiveBackend& backend, const std::vector<std::string>& keys) {
  testing::Pending<FoundOr> pending;
  backend->ConfirmKeysGone(keys, {}, pending.Callback());
  return pending.Get(LiveBackend::kBound).value_or(absl::UnknownError("no answer"));
}

FoundOr ConfirmInstances(LiveBackend& backend, const std::string& service, const std::vector<InstanceName>& names) {
  testing::Pending<FoundOr> pending;
  backend->ConfirmInstancesGone(service, names, {}, pending.Callback());
  return pending.Get(LiveBackend::kBound).value_or(absl::UnknownError("no answer"));
}

size_t CountBelow(LiveBackend& backend, const std::string& prefix) {
  LiveBackend::PendingEntries pending;
  backend->ReadPrefix(prefix, {}, pending.Callback());
  auto answer = pending.Get(LiveBackend::kBound);
  EXPECT_TRUE(answer.has_value() && answer->ok());
  return answer.has_value() && answer->ok() ? (*answer)->value.size() : 0;
}

size_t CountInstances(LiveBackend& backend, const std::string& service) {
  testing::Pending<absl::StatusOr<Answer<std::vector<Instance>>>> pending;
  backend->ReadService(service, "", "", {}, pending.Callback());
  auto answer = pending.Get(LiveBackend::kBound);
  EXPECT_TRUE(answer.has_value() && answer->ok());
  return answer.has_value() && answer->ok() ? (*answer)->value.size() : 0;
}

// The string value of a field in one of Consul's answers, wherever it first stands; a number as it is written.
std::string FieldOf(const std::string& json, const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(json, absl::MaxSplits(absl::StrCat("\"", name, "\":"), 1));
  if (parts.size() < 2) return "";
  std::string value;
  for (const char c : parts[1]) {
    if (c == ',' || c == '}' || c == '\n') break;
    if (c != '"' && c != ' ') value.push_back(c);
  }
  return value;
}

// An agent that denies what is not allowed, some keys and instances, and a token with a policy.
class ConsulConfirmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    for (const char* key : {"a/1", "a/2", "a/secret", "b/1"}) {
      ASSERT_EQ(AsRoot("PUT", absl::StrCat("/v1/kv/", key), "v").code, 200);
    }
    for (const char* node : {"n1", "n2"}) {
      ASSERT_EQ(AsRoot("PUT", "/v1/catalog/register",
                       absl::StrCat(R"({"Node":")", node, R"(","Address":"127.0.0.9","Service":{"ID":"web-1",)",
                                    R"("Service":"web","Port":80}})"))
                    .code,
                200);
    }
    SetPolicy(R"(key_prefix \"a/\" { policy = \"read\" } service \"web\" { policy = \"read\" })"
              R"( node_prefix \"\" { policy = \"read\" })");
    const std::string token =
        AsRoot("PUT", "/v1/acl/token", absl::StrCat(R"({"Policies":[{"ID":")", policy_, R"("}]})")).body;
    accessor_ = FieldOf(token, "AccessorID");
    secret_ = FieldOf(token, "SecretID");
    ASSERT_EQ(secret_.size(), 36u) << token;
  }

  static ConsulAgent::Options DefaultDeny() {
    ConsulAgent::Options options;
    options.hcl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { master = \"", kRoot, "\" } }");
    options.token = kRoot;
    return options;
  }

  ConsulAgent::Answer AsRoot(const std::string& method, const std::string& target, const std::string& body = "") {
    return agent_.Call(method, target, body, kRoot);
  }

  // Escaped for JSON.
  void SetPolicy(const std::string& rules) {
    const std::string target = policy_.empty() ? "/v1/acl/policy" : absl::StrCat("/v1/acl/policy/", policy_);
    const auto answer =
        AsRoot("PUT", target, absl::StrCat(R"({"ID":")", policy_, R"(","Name":"gateway","Rules":")", rules, R"("})"));
    ASSERT_EQ(answer.code, 200) << answer.body;
    policy_ = FieldOf(answer.body, "ID");
  }

  ConsulAgent agent_{DefaultDeny()};
  std::string policy_;
  std::string accessor_;
  std::string secret_;
};

// A policy that is narrowed takes keys and instances out of every answer, and readers would be told that they were
// deleted. What really is deleted must still be told.
TEST_F(ConsulConfirmTest, WhatIsHiddenIsNotGone) {
  LiveBackend backend(OptionsOf(agent_.url(), secret_));
  ASSERT_EQ(CountBelow(backend, "a/"), 3u);
  ASSERT_EQ(CountInstances(backend, "web"), 2u);
  const std::vector<std::string> keys = {"a/1", "a/2", "a/secret", "a/never", "b/1", "b/never"};
  FoundOr found = ConfirmKeys(backend, keys);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kExists, Presence::kExists, Presence::kExists, Presence::kGone, Presence::kHidden,
                           Presence::kHidden}));

  // A part of it is taken away, and something deleted meanwhile.
  SetPolicy(R"(key_prefix \"a/\" { policy = \"read\" } key \"a/secret\" { policy = \"deny\" })"
            R"( service \"web\" { policy = \"read\" })");
  ASSERT_EQ(AsRoot("DELETE", "/v1/kv/a/2").code, 200);
  ASSERT_EQ(AsRoot("PUT", "/v1/catalog/deregister", R"({"Node":"n2","ServiceID":"web-1"})").code, 200);
  ASSERT_EQ(CountBelow(backend, "a/"), 1u);
  found = ConfirmKeys(backend, keys);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kExists, Presence::kGone, Presence::kHidden, Presence::kGone, Presence::kHidden,
                           Presence::kHidden}));
  // service:read without node:read.
  ASSERT_EQ(CountInstances(backend, "web"), 0u);
  const std::vector<InstanceName> instances = {{"n1", "web-1"}, {"n2", "web-1"}, {"n1", "never"}};
  found = ConfirmInstances(backend, "web", instances);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_NE(found->at(0), Presence::kGone) << "it is there";
  EXPECT_EQ(found->at(1), Presence::kGone);
  EXPECT_EQ(found->at(2), Presence::kGone);

  // All of it.
  SetPolicy(R"(key_prefix \"z\" { policy = \"read\" })");
  ASSERT_EQ(CountBelow(backend, "a/"), 0u);
  found = ConfirmKeys(backend, keys);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, Found(keys.size(), Presence::kHidden));
  found = ConfirmInstances(backend, "web", instances);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->at(0), Presence::kHidden);

  // A token that was deleted confirms nothing.
  ASSERT_EQ(AsRoot("DELETE", absl::StrCat("/v1/acl/token/", accessor_)).code, 200);
  EXPECT_EQ(OutcomeOf(ConfirmKeys(backend, keys).status()), "UNAUTHENTICATED TOKEN_UNKNOWN");
  EXPECT_EQ(OutcomeOf(ConfirmInstances(backend, "web", instances).status()), "UNAUTHENTICATED TOKEN_UNKNOWN");
}

// Instances of one id on many nodes can't be told apart in what Consul answers: none that may be hidden must pass for
// gone because its namesake is registered for another service by now.
TEST_F(ConsulConfirmTest, NamesakesOnOtherNodesAreKeptApart) {
  LiveBackend root(OptionsOf(agent_.url(), kRoot));
  const std::vector<InstanceName> instances = {{"n1", "web-1"}, {"n2", "web-1"}};
  ASSERT_EQ(AsRoot("PUT", "/v1/catalog/register",
                   R"({"Node":"n2","Address":"127.0.0.9","Service":{"ID":"web-1","Service":"api","Port":80}})")
                .code,
            200);
  FoundOr found = ConfirmInstances(root, "web", instances);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kExists, Presence::kGone}));

  SetPolicy(R"(service \"api\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" })");
  LiveBackend backend(OptionsOf(agent_.url(), secret_));
  found = ConfirmInstances(backend, "web", instances);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kHidden, Presence::kHidden}));
  // Alone it can be told.
  found = ConfirmInstances(backend, "web", {instances[1]});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, Found{Presence::kGone});
}

// Gateways ask the agent of their own host, which is no server: what it remembers of a token, or that it has no access
// control itself, must not confirm what its servers hide.
TEST_F(ConsulConfirmTest, AnAgentsOwnWordIsNotTaken) {
  const std::string serf = FieldOf(AsRoot("GET", "/v1/agent/self").body, "SerfPortLAN");
  ASSERT_NE(serf, "");
  for (const bool access_control : {true, false}) {
    ConsulAgent::Options options;
    options.token = kRoot;
    if (access_control) {
      options.hcl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { agent = \"", kRoot, "\" } }");
    } else {
      // It can't put itself into the catalog without a token.
      options.hcl = absl::StrCat("acl { tokens { agent = \"", kRoot, "\" } }");
    }
    options.args = {"-server=false", absl::StrCat("-retry-join=127.0.0.1:", serf),
                    absl::StrCat("-data-dir=", std::getenv("TEST_TMPDIR"), "/client-", access_control)};
    ConsulAgent client(options);
    ASSERT_TRUE(client.ready());
    SetPolicy(R"(key_prefix \"a/\" { policy = \"read\" })");
    LiveBackend backend(OptionsOf(client.url(), secret_));
    ASSERT_EQ(CountBelow(backend, "a/"), 3u);
    // It remembers.
    client.Call("POST", "/v1/internal/acl/authorize", R"([{"Resource":"key","Segment":"a/1","Access":"read"}])",
                secret_);
    SetPolicy(R"(key_prefix \"z\" { policy = \"read\" })");
    ASSERT_EQ(CountBelow(backend, "a/"), 0u);
    const FoundOr found = ConfirmKeys(backend, {"a/1", "a/never"});
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, (Found{Presence::kHidden, Presence::kHidden}));
  }
}

// Something between us and Consul that answers, but not about what was asked, must not confirm a deletion.
TEST(ConsulConfirmAnswersTest, OnlyConsulsOwnWordsConfirm) {
  const std::vector<std::string> answers = {
      "200 OK|{\"Results\":[],\"Errors\":null}",
      "200 OK|[]",
      "200 OK|<html>",
      "404 Not Found|",
      "409 Conflict|",
      "409 Conflict|{\"Errors\":[]}",
      "409 Conflict|{\"Errors\":[{\"OpIndex\":1,\"What\":\"failed to check index, key \\\"a\\\" doesn't exist\"}]}",
      "409 Conflict|{\"Errors\":[{\"OpIndex\":0,\"What\":\"unknown KV verb \\\"check-index\\\"\"}]}",
      "409 Conflict|{\"Errors\":[{\"OpIndex\":0,\"What\":\"something new doesn't exist\"}]}",
      "500 Internal Server Error|No cluster leader"};
  for (const std::string& answer : answers) {
    const std::vector<std::string> parts = absl::StrSplit(answer, absl::MaxSplits('|', 1));
    testing::TinyHttpServer server([&](testing::TinyHttpServer::Connection& connection) {
      while (!connection.ReadRequest().empty()) {
        connection.Write(
            absl::StrCat("HTTP/1.1 ", parts[0], "\r\nContent-Length: ", parts[1].size(), "\r\n\r\n", parts[1]));
      }
    });
    LiveBackend backend(OptionsOf(absl::StrCat("http://127.0.0.1:", server.port()), ""));
    EXPECT_FALSE(ConfirmKeys(backend, {"a"}).ok()) << answer;
    const FoundOr found = ConfirmInstances(backend, "web", {{"n1", "web-1"}});
    if (answer == answers[0]) {
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(*found, Found{Presence::kHidden}) << "what Consul says when it may not be read";
    } else {
      EXPECT_FALSE(found.ok()) << answer;
    }
    backend->Shutdown();
  }
}

}  // namespace
}  // namespace meshgate::consul
