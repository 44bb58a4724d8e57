#ifndef MESHGATE_TESTS_INTEGRATION_MTLS_FIXTURE_H_
#define MESHGATE_TESTS_INTEGRATION_MTLS_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/integration/watch_stream.h"
#include "tests/testing/certificates.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tls_forwarder.h"

namespace meshgate::testing {

// A gateway with --auth=mtls on each backend, the Consul of which does nothing for whoever has no token, and callers
// with certificates of their own. A caller is a name: its certificate's SPIFFE ID is "spiffe://test/NAME".
class MtlsFixture : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr char kRoot[] = "11111111-2222-3333-4444-555555555555";
  // Callers whose certificates are not as others': it has no name at all, a common name alone, and none to show.
  static constexpr char kNameless[] = "nameless";
  static constexpr char kCommonName[] = "common.name";
  static constexpr char kNoCertificate[] = "no certificate";

  // Rules for the list.
  static constexpr char kAdmin[] =
      R"({read: {keys: ["*"], services: ["*"]}, write: {keys: ["*"]}, register: {services: ["*"]}})";
  static constexpr char kAllowed[] =
      R"({read: {keys: [app/], services: [web]}, write: {keys: [app/]}, register: {services: [web]}})";
  static constexpr char kElse[] =
      R"({read: {keys: [else/], services: [else]}, write: {keys: [else/]}, register: {services: [else]}})";

  void SetUp() override {
    // For the test's own part; tests add to them.
    rules_["admin"] = kAdmin;
    WriteFile();
    std::vector<std::string> flags = {"--auth=mtls", "--auth_mtls_file=" + list_file_, "--http_api=off",
                                      "--log_level=debug"};
    const Certificates server = authority_.Sign("server");
    flags.push_back("--grpc_tls_cert_file=" + server.cert_file);
    flags.push_back("--grpc_tls_key_file=" + server.key_file);
    flags.push_back("--grpc_tls_client_ca_file=" + authority_.ca_file());
    ChildProcess::Options process;
    process.stderr_file = log_file_;
    if (std::string(GetParam()) == "consul") {
      ConsulAgent::Options options;
      options.hcl =
          absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { master = \"", kRoot, "\" } }");
      options.token = kRoot;
      agent_ = std::make_unique<ConsulAgent>(options);
      ASSERT_TRUE(agent_->ready());
      flags.push_back("--backend=consul");
      flags.push_back("--consul_address=" + agent_->url());
      process.environment.emplace_back("CONSUL_HTTP_TOKEN", kRoot);
    }
    gateway_ = std::make_unique<GatewayProcess>(std::move(flags), std::move(process));
    ASSERT_TRUE(gateway_->listening());
  }

  // The caller's rules from here on; empty: it is not in the list. Returns when the gateway goes by them.
  void Allow(const std::string& caller, const std::string& rules) { Allow({{caller, rules}}); }
  void Allow(const std::vector<std::pair<std::string, std::string>>& callers) {
    for (const auto& [caller, rules] : callers) {
      rules.empty() ? static_cast<void>(rules_.erase(caller)) : static_cast<void>(rules_[caller] = rules);
    }
    const double before = gateway_->Metric(kReloaded).value_or(-1);
    WriteFile();
    ASSERT_TRUE(gateway_->WaitForMetric(kReloaded, before + 1));
  }

  v1::ConfigService::Stub* config(const std::string& caller) { return Of(caller).config.get(); }
  v1::RegistryService::Stub* registry(const std::string& caller) { return Of(caller).registry.get(); }
  static void Authenticate(grpc::ClientContext* context, const std::string& /*caller*/) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  void Put(const std::string& key, const std::string& value) {
    grpc::ClientContext context;
    v1::PutConfigRequest request;
    request.set_key(key);
    request.set_value(value);
    v1::PutConfigResponse response;
    const grpc::Status status = config("admin")->PutConfig(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  // Whoever it is for, the administrator does it.
  void RegisterAtConsul(const std::string& service, const std::string& id) {
    const grpc::Status status = Register("admin", service, id);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  grpc::Status Register(const std::string& caller, const std::string& service, const std::string& id) {
    grpc::ClientContext context;
    v1::RegisterRequest request;
    request.mutable_instance()->set_id(id);
    request.mutable_instance()->set_service(service);
    auto* check = request.add_checks();
    check->mutable_ttl()->set_seconds(60);
    check->set_initial_status(v1::HEALTH_STATUS_PASSING);
    v1::RegisterResponse response;
    return registry(caller)->Register(&context, request, &response);
  }

  // Every byte that the caller was sent.
  std::string SentTo(const std::string& caller) { return Of(caller).forwarder->received(); }
  bool WasSent(const std::string& caller, const std::string& bytes) {
    return SentTo(caller).find(bytes) != std::string::npos;
  }
  static bool Says(const grpc::Status& status, const std::string& reason) {
    return status.error_details().find(reason) != std::string::npos;
  }

  static constexpr char kReloaded[] = "meshgate_auth_list_reloads_total{result=\"ok\"}";

  TempDir folder_;
  const std::string list_file_ = folder_.path() + "/list.yaml";
  const std::string log_file_ = folder_.path() + "/gateway.log";
  CertificateAuthority authority_{folder_.path(), "ca"};
  std::map<std::string, std::string> rules_;
  std::unique_ptr<ConsulAgent> agent_;
  std::unique_ptr<GatewayProcess> gateway_;

  static std::string IdentityOf(const std::string& caller) {
    return caller == kCommonName ? caller : "spiffe://test/" + caller;
  }

 private:
  struct Caller {
    std::unique_ptr<TlsForwarder> forwarder;
    std::unique_ptr<v1::ConfigService::Stub> config;
    std::unique_ptr<v1::RegistryService::Stub> registry;
  };

  Caller& Of(const std::string& name) {
    MutexLock lock(mu_);
    Caller& caller = callers_[name];
    if (caller.forwarder != nullptr) return caller;
    TlsClient::Options options;
    options.ca_file = authority_.ca_file();
    options.protocols = {"h2"};
    if (name != kNoCertificate) {
      CertificateAuthority::Wanted wanted;
      wanted.common_name = name == kNameless ? "" : name;
      if (name != kNameless && name != kCommonName) wanted.alternative_names = "URI:" + IdentityOf(name);
      const Certificates certificates = authority_.Sign(name, wanted);
      options.cert_file = certificates.cert_file;
      options.key_file = certificates.key_file;
    }
    caller.forwarder = std::make_unique<TlsForwarder>(gateway_->grpc_address(), options);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Who is refused at the handshake tries again soon.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    auto channel = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", caller.forwarder->port()),
                                             grpc::InsecureChannelCredentials(), arguments);
    caller.config = v1::ConfigService::NewStub(channel);
    caller.registry = v1::RegistryService::NewStub(channel);
    return caller;
  }

  void WriteFile() {
    // As a whole, as tools do that know better.
    std::ofstream out(list_file_ + ".new");
    out << "identities:\n";
    for (const auto& [caller, rules] : rules_) out << "  \"" << IdentityOf(caller) << "\": " << rules << "\n";
    out.close();
    std::rename((list_file_ + ".new").c_str(), list_file_.c_str());
  }

  Mutex mu_;
  // A map: addresses stay.
  std::map<std::string, Caller> callers_ ABSL_GUARDED_BY(mu_);
};

inline std::string BackendName(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_MTLS_FIXTURE_H_
