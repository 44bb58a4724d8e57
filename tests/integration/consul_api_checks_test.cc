// What registrations that are passed on to an agent may have it probe.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/consul_api_calls.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::testing {
namespace {

class ConsulApiChecksTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(agent_.ready()); }

  GatewayProcess Start(const std::string& check_allow) {
    std::vector<std::string> flags = {"--backend=consul", "--consul_address=" + agent_.url()};
    // Elsewhere than on this host, so that what is allowed is what is listed.
    flags.push_back("--check_allow=" + check_allow);
    return GatewayProcess(flags);
  }
  // Whether the agent has come to know of anything.
  std::string Known() {
    return agent_.Call("GET", "/v1/agent/services").body + agent_.Call("GET", "/v1/agent/checks").body;
  }

  // Scripts are on: what keeps them out is the gateway.
  ConsulAgent agent_{[] {
    ConsulAgent::Options options;
    options.args = {"-enable-script-checks"};
    return options;
  }()};
};

// Would break if whoever may register could have the agent call what only the agent reaches, or run a program: and be
// it that something of the registration were there when it is refused.
TEST_F(ConsulApiChecksTest, WhatIsRefusedLeavesNothingBehind) {
  TinyHttpServer secret;
  GatewayProcess gateway = Start("10.1.0.0/16");
  ASSERT_TRUE(gateway.listening());
  const std::string nothing = Known();
  const std::string url = absl::StrCat("http://127.0.0.1:", secret.port(), "/");
  const std::string host = absl::StrCat("127.0.0.1:", secret.port());
  const std::vector<std::string> checks = {
      absl::StrCat(R"("HTTP": ")", url, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("http": ")", url, R"(", "interval": "10ms")"),
      absl::StrCat(R"("hTTp": ")", url, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("TCP": ")", host, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("GRPC": ")", host, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("TTL": "60s", "HTTP": ")", url, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("HTTP": "http://10.1.0.1/", "HTTP": ")", url, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("HTTP": "http://10.1.0.1/", "http": ")", url, R"(", "Interval": "10ms")"),
      absl::StrCat(R"("http": ")", url, R"(", "HTTP": "http://10.1.0.1/", "Interval": "10ms")"),
      absl::StrCat(R"("HTTP": "http://10.1.0.1@)", host, R"(/", "Interval": "10ms")"),
      absl::StrCat(R"("\u0048TTP": ")", url, R"(", "Interval": "10ms")"),
      R"("HTTP": "http://169.254.169.254/latest/meta-data", "Interval": "10ms")",
      R"("HTTP": "http://2852039166/", "Interval": "10ms")",
      R"("HTTP": "http://[::1]/", "Interval": "10ms")",
      R"("HTTP": "http://localhost/", "Interval": "10ms")",
      R"("HTTP": "file:///etc/passwd", "Interval": "10ms")",
      R"("Args": ["touch", "/tmp/never"], "Interval": "10ms")",
      R"("ScriptArgs": ["touch", "/tmp/never"], "Interval": "10ms")",
      R"("Script": "touch /tmp/never", "Interval": "10ms")",
      R"("script_args": ["touch", "/tmp/never"], "Interval": "10ms")",
      R"("DockerContainerID": "x", "Shell": "/bin/sh", "Args": ["x"], "Interval": "10ms")",
  };
  const auto put = [&](const std::string& target, const std::string& body) {
    const ApiAnswer answer = CallApi(gateway.http_address(), "PUT", target, "", body);
    EXPECT_EQ(answer.status(), 400) << target << body << answer.bytes;
  };
  for (const std::string& check : checks) {
    for (const std::string& around :
         {absl::StrCat(R"("Check": {)", check, "}"), absl::StrCat(R"("check": {)", check, "}"),
          absl::StrCat(R"("Checks": [{"TTL": "60s"}, {)", check, "}]"),
          absl::StrCat(R"("Check": {"TTL": "60s"}, "Checks": [{)", check, "}]"),
          absl::StrCat(R"("Connect": {"SidecarService": {"Check": {)", check, "}}}"),
          absl::StrCat(R"("connect": {"sidecar_service": {"checks": [{)", check, "}]}}")}) {
      put("/v1/agent/service/register", absl::StrCat(R"({"Name": "web", )", around, "}"));
      put("/v1/agent/service/register?replace-existing-checks=true", absl::StrCat("{", around, R"(, "Name": "web"})"));
    }
    put("/v1/agent/check/register", absl::StrCat(R"({"Name": "alone", )", check, "}"));
  }
  for (const std::string body : {"", "[]", "null", "{", "{'Name': 'web'}x", R"({"Name": "web"} {"Name": "other"})",
                                 R"({"Name": "web", "Checks": {}})"}) {
    const ApiAnswer answer = CallApi(gateway.http_address(), "PUT", "/v1/agent/service/register", "", body);
    EXPECT_EQ(answer.status(), 400) << body << answer.bytes;
  }
  EXPECT_EQ(Known(), nothing);
  EXPECT_EQ(secret.connections(), 0);
}

// Would break if nothing could be registered that is allowed.
TEST_F(ConsulApiChecksTest, WhatIsAllowedIsThere) {
  TinyHttpServer instance;
  GatewayProcess gateway = Start("127.0.0.1");
  ASSERT_TRUE(gateway.listening());
  const auto put = [&](const std::string& target, const std::string& body) {
    const ApiAnswer answer = CallApi(gateway.http_address(), "PUT", target, "", body);
    EXPECT_EQ(answer.status(), 200) << body << answer.bytes;
  };
  put("/v1/agent/service/register",
      absl::StrCat(R"({"Name": "probed", "Address": "127.0.0.1", "Check": {"HTTP": "http://127.0.0.1:)",
                   instance.port(), R"(/", "Interval": "50ms"}})"));
  put("/v1/agent/service/register", R"({"Name": "told", "Checks": [{"TTL": "60s", "Status": "passing"}]})");
  put("/v1/agent/service/register", R"({"Name": "bare"})");
  put("/v1/agent/service/register", R"({"Name": "beside", "Port": 1, "Connect": {"SidecarService": {}}})");
  put("/v1/agent/check/register", R"({"Name": "alone", "TTL": "60s"})");
  put("/v1/agent/check/register", R"({"Name": "follows", "AliasService": "told"})");
  const std::string services = agent_.Call("GET", "/v1/agent/services").body;
  for (const char* name : {"probed", "told", "bare", "beside"}) {
    EXPECT_NE(services.find(absl::StrCat("\"", name, "\"")), std::string::npos) << services;
  }
  const std::string checks = agent_.Call("GET", "/v1/agent/checks").body;
  for (const char* name : {"\"alone\"", "\"follows\""}) EXPECT_NE(checks.find(name), std::string::npos) << checks;
}

}  // namespace
}  // namespace meshgate::testing
