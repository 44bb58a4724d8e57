#ifndef MESHGATE_TESTS_INTEGRATION_AUTH_FIXTURE_H_
#define MESHGATE_TESTS_INTEGRATION_AUTH_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/integration/watch_stream.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tcp_proxy.h"

namespace meshgate::testing {

// A Consul that denies by default, a gateway with --auth=consul whose own token reads everything and writes nothing,
// and a proxy that keeps what the gateway sends to callers.
class AuthFixture : public ::testing::Test {
 protected:
  static constexpr char kRoot[] = "11111111-2222-3333-4444-555555555555";
  static constexpr char kGateway[] = "22222222-2222-3333-4444-555555555555";
  static constexpr char kUnknown[] = "99999999-2222-3333-4444-555555555555";

  static ConsulAgent::Options AgentOptions() {
    ConsulAgent::Options options;
    options.hcl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { master = \"", kRoot, "\" } }");
    options.token = kRoot;
    return options;
  }

  void SetUp() override { Start({}, {}); }

  void Start(std::vector<std::string> flags, ChildProcess::Options process) {
    ASSERT_TRUE(agent_.ready());
    MakePolicy("gateway", R"(key_prefix "" { policy = "read" } service_prefix "" { policy = "read" })"
                          R"( node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" })");
    MakeToken(kGateway, "gateway");
    flags.insert(flags.begin(), {"--backend=consul", "--consul_address=" + agent_.url(), "--auth=consul"});
    process.environment.emplace_back("CONSUL_HTTP_TOKEN", kGateway);
    gateway_ = std::make_unique<GatewayProcess>(std::move(flags), std::move(process));
    ASSERT_TRUE(gateway_->listening());
    const std::string& address = gateway_->grpc_address();
    proxy_ = std::make_unique<TcpProxy>(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    proxy_->Record();
    auto channel = grpc::CreateChannel(absl::StrCat("127.0.0.1:", proxy_->port()), grpc::InsecureChannelCredentials());
    config_ = v1::ConfigService::NewStub(channel);
    registry_ = v1::RegistryService::NewStub(channel);
  }

  // `rules` in HCL; replaces a policy of the same name.
  void MakePolicy(const std::string& name, const std::string& rules) {
    const std::string id = PolicyId(name);
    const std::string text = absl::StrReplaceAll(rules, {{"\"", "\\\""}});
    const auto answer = agent_.Call("PUT", id.empty() ? "/v1/acl/policy" : "/v1/acl/policy/" + id,
                                    absl::StrCat(R"({"Name": ")", name, R"(", "Rules": ")", text, "\"}"), kRoot);
    ASSERT_EQ(answer.code, 200) << answer.body;
  }
  void MakeToken(const std::string& secret, const std::string& policy) {
    // Its own secret backwards names it.
    const std::string accessor = AccessorOf(secret);
    const auto answer = agent_.Call("PUT", "/v1/acl/token",
                                    absl::StrCat(R"({"AccessorID": ")", accessor, R"(", "SecretID": ")", secret,
                                                 R"(", "Policies": [{"Name": ")", policy, "\"}]}"),
                                    kRoot);
    ASSERT_EQ(answer.code, 200) << answer.body;
  }
  void DeleteToken(const std::string& secret) {
    ASSERT_EQ(agent_.Call("DELETE", "/v1/acl/token/" + AccessorOf(secret), "", kRoot).code, 200);
  }
  // A token of its own for each number.
  static std::string Secret(int number) {
    const std::string digits = absl::StrCat(100000000000 + number);
    return absl::StrCat("aaaaaaaa-bbbb-cccc-dddd-", digits);
  }

  void Put(const std::string& key, const std::string& value) {
    ASSERT_EQ(agent_.Call("PUT", "/v1/kv/" + key, value, kRoot).code, 200);
  }
  void RegisterAtConsul(const std::string& service, const std::string& id) {
    ASSERT_EQ(agent_
                  .Call("PUT", "/v1/agent/service/register",
                        absl::StrCat(R"({"Name": ")", service, R"(", "ID": ")", id,
                                     R"(", "Check": {"TTL": "60s", "Status": "passing"}})"),
                        kRoot)
                  .code,
              200);
  }

  static void Authenticate(grpc::ClientContext* context, const std::string& token) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!token.empty()) context->AddMetadata("x-consul-token", token);
  }

  // For whoever calls.
  v1::ConfigService::Stub* config(const std::string& /*token*/) { return config_.get(); }
  v1::RegistryService::Stub* registry(const std::string& /*token*/) { return registry_.get(); }

  bool WasSent(const std::string& bytes) { return proxy_->recorded().find(bytes) != std::string::npos; }

  ConsulAgent agent_{AgentOptions()};
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<TcpProxy> proxy_;
  std::unique_ptr<v1::ConfigService::Stub> config_;
  std::unique_ptr<v1::RegistryService::Stub> registry_;

 private:
  static std::string AccessorOf(std::string secret) {
    secret[0] = secret[0] == 'f' ? 'e' : 'f';
    return secret;
  }
  std::string PolicyId(const std::string& name) {
    const std::string body = agent_.Call("GET", "/v1/acl/policy/name/" + name, "", kRoot).body;
    const std::string field = "\"ID\":\"";
    const std::string dense = absl::StrReplaceAll(body, {{" ", ""}, {"\n", ""}});
    const size_t at = dense.find(field);
    return at == std::string::npos ? "" : dense.substr(at + field.size(), 36);
  }
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_AUTH_FIXTURE_H_
