// Consul's own API for callers that are known by their certificates: what the list says, on either backend.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/consul_api_calls.h"
#include "tests/testing/certificates.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tls_client.h"

namespace meshgate::testing {
namespace {

constexpr char kCanary[] = "canary-of-the-key";
constexpr char kTag[] = "canary-of-the-tag";
constexpr char kRoot[] = "11111111-2222-3333-4444-555555555555";

class ConsulApiMtlsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::ofstream(list_file_) << "identities:\n"
                              << "  spiffe://test/with: {read: {keys: [app/], services: [web]}, write: {keys: [app/]},"
                              << " register: {services: [web]}}\n"
                              << "  spiffe://test/without: {read: {keys: [else/], services: [else]},"
                              << " write: {keys: [else/]}, register: {services: [else]}}\n";
    const Certificates server = authority_.Sign("server");
    std::vector<std::string> flags = {"--auth=mtls", "--auth_mtls_file=" + list_file_};
    for (const char* port : {"grpc", "http"}) {
      flags.push_back(absl::StrCat("--", port, "_tls_cert_file=", server.cert_file));
      flags.push_back(absl::StrCat("--", port, "_tls_key_file=", server.key_file));
      flags.push_back(absl::StrCat("--", port, "_tls_client_ca_file=", authority_.ca_file()));
    }
    ChildProcess::Options process;
    if (on_consul()) {
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
    for (const char* name : {"with", "without", "unlisted", ""}) callers_.emplace_back(name, OptionsOf(name));
    ASSERT_EQ(Ask("with", "PUT", "/v1/kv/app/k", kCanary).status(), 200);
    ASSERT_EQ(Ask("with", "PUT", "/v1/agent/service/register", Instance("web-1")).status(), 200);
  }

  bool on_consul() const { return std::string(GetParam()) == "consul"; }
  static std::string Instance(const std::string& id) {
    return absl::StrCat(R"({"Name": "web", "ID": ")", id, R"(", "Tags": [")", kTag,
                        R"("], "Check": {"TTL": "60s", "Status": "passing"}})");
  }

  TlsClient::Options OptionsOf(const std::string& name) {
    CertificateAuthority::Wanted wanted;
    wanted.common_name = "";
    wanted.alternative_names = name.empty() ? "" : "URI:spiffe://test/" + name;
    const Certificates certificates = authority_.Sign("client-" + name, wanted);
    TlsClient::Options options;
    options.ca_file = authority_.ca_file();
    options.cert_file = certificates.cert_file;
    options.key_file = certificates.key_file;
    return options;
  }
  ApiAnswer AskBy(const TlsClient::Options& options, const std::string& method, const std::string& target,
                  const std::string& body) {
    TlsClient client(gateway_->http_address(), options);
    const int now = 1;
    setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
    client.Handshake();
    client.Write(absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: h\r\nX-Consul-Token: ", kRoot,
                              "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n", body));
    ApiAnswer answer;
    for (std::string some; !(some = client.Read()).empty();) answer.bytes += some;
    return answer;
  }
  // A caller is a name of the list; empty: whose certificate has none.
  ApiAnswer Ask(const std::string& caller, const std::string& method, const std::string& target,
                const std::string& body = "") {
    for (const auto& [name, options] : callers_) {
      if (name == caller) return AskBy(options, method, target, body);
    }
    return {};
  }
  static bool Tells(const ApiAnswer& answer, const std::string& secret) {
    return answer.Holds(secret) || answer.Holds(absl::Base64Escape(secret));
  }

  TempDir folder_;
  const std::string list_file_ = folder_.path() + "/list.yaml";
  CertificateAuthority authority_{folder_.path(), "ca"};
  std::vector<std::pair<std::string, TlsClient::Options>> callers_;
  std::unique_ptr<ConsulAgent> agent_;
  std::unique_ptr<GatewayProcess> gateway_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ConsulApiMtlsTest, ::testing::Values("embedded", "consul"),
                         [](const auto& info) { return std::string(info.param); });

// Would break if Consul's API were a way around the list: for somebody who is not in it, or not for this; or with a
// token of Consul's, which counts for nothing here.
TEST_P(ConsulApiMtlsTest, EachCallerMayDoWhatTheListSays) {
  struct Row {
    std::string method, target, body;
    // Of who is in the list for something else, and for this.
    int without, with;
    std::string told;
  };
  std::vector<Row> rows = {
      {"PUT", "/v1/kv/app/put", "x", 403, 200, "true"},
      {"DELETE", "/v1/kv/app/put", "", 403, 200, "true"},
      {"DELETE", "/v1/kv/app/put/?recurse", "", 403, 200, "true"},
      {"PUT", "/v1/txn", R"([{"KV": {"Verb": "set", "Key": "app/txn", "Value": "eA=="}}])", 403, 200, "app/txn"},
      {"PUT", "/v1/agent/service/register", Instance("web-2"), 403, 200, ""},
      {"PUT", "/v1/agent/check/warn/service:web-2", "", 403, 200, ""},
      {"PUT", "/v1/agent/check/fail/service:web-2", "", 403, 200, ""},
      {"PUT", "/v1/agent/check/pass/service:web-2", "", 403, 200, ""},
      {"PUT", "/v1/agent/check/update/service:web-2", R"({"Status": "passing"})", 403, 200, ""},
      {"PUT", "/v1/agent/service/deregister/web-2", "", 403, 200, ""},
      {"GET", "/v1/catalog/services", "", 403, 200, "\"web\""},
  };
  for (const std::string how : {"", "stale", "consistent", "cached", "index=1&wait=10s"}) {
    const auto with = [&](const std::string& target) {
      return how.empty() ? target : absl::StrCat(target, absl::StrContains(target, "?") ? "&" : "?", how);
    };
    rows.push_back({"GET", with("/v1/kv/app/k"), "", 403, 200, kCanary});
    rows.push_back({"GET", with("/v1/kv/app/k?raw"), "", 403, 200, kCanary});
    rows.push_back({"GET", with("/v1/kv/app/?recurse"), "", 403, 200, kCanary});
    rows.push_back({"GET", with("/v1/kv/app/?keys"), "", 403, 200, "app/k"});
    rows.push_back({"GET", with("/v1/health/service/web"), "", 403, 200, kTag});
    rows.push_back({"GET", with("/v1/health/checks/web"), "", 403, 200, kTag});
    rows.push_back({"GET", with("/v1/catalog/service/web"), "", 403, 200, kTag});
  }
  for (const char* about : {"/v1/agent/self", "/v1/status/leader", "/v1/status/peers", "/v1/catalog/datacenters"}) {
    const int code = on_consul() ? 501 : 200;
    rows.push_back({"GET", about, "", code, code, ""});
  }
  for (const char* target : {"/v1/health/node/n",
                             "/v1/health/state/any",
                             "/v1/health/connect/web",
                             "/v1/health/ingress/web",
                             "/v1/catalog/nodes",
                             "/v1/catalog/node/n",
                             "/v1/catalog/connect/web",
                             "/v1/catalog/node-services/n",
                             "/v1/catalog/gateway-services/g",
                             "/v1/agent/members",
                             "/v1/agent/services",
                             "/v1/agent/checks",
                             "/v1/agent/service/web-1",
                             "/v1/agent/health/service/name/web",
                             "/v1/agent/health/service/id/web-1",
                             "/v1/session/info/x",
                             "/v1/session/node/n",
                             "/v1/session/list",
                             "/v1/event/list",
                             "/v1/coordinate/nodes",
                             "/v1/coordinate/node/n",
                             "/v1/coordinate/datacenters",
                             "/v1/acl/tokens",
                             "/v1/acl/token/self",
                             "/v1/operator/raft/configuration",
                             "/v1/snapshot",
                             "/v1/connect/ca/roots",
                             "/v1/agent/monitor",
                             "/v1/nothing"}) {
    rows.push_back({"GET", target, "", 501, 501, ""});
  }
  for (const char* target :
       {"/v1/catalog/register", "/v1/catalog/deregister", "/v1/agent/check/register", "/v1/agent/check/deregister/c",
        "/v1/agent/service/maintenance/web-1", "/v1/session/create", "/v1/session/destroy/x", "/v1/session/renew/x",
        "/v1/event/fire/x", "/v1/agent/leave", "/v1/acl/token", "/v1/snapshot", "/v1/nothing"}) {
    rows.push_back({"PUT", target, "{}", 501, 501, ""});
  }
  rows.push_back({"POST", "/v1/nothing", "{}", 501, 501, ""});
  rows.push_back({"DELETE", "/v1/acl/token/x", "", 501, 501, ""});

  TlsClient::Options nobody;
  nobody.ca_file = authority_.ca_file();
  for (const Row& row : rows) {
    SCOPED_TRACE(row.method + " " + row.target);
    const auto refused = [&](const ApiAnswer& answer, int status) {
      EXPECT_EQ(answer.status(), status) << answer.bytes;
      for (const char* secret : {kCanary, kTag, kRoot, "web-1", "\"web\""}) {
        EXPECT_FALSE(Tells(answer, secret)) << answer.bytes;
      }
    };
    refused(AskBy(nobody, row.method, row.target, row.body), 0);
    refused(Ask("", row.method, row.target, row.body), 403);
    // What the list says nothing about is the same for everybody with a certificate: what the port's /metrics tell,
    // too.
    refused(Ask("unlisted", row.method, row.target, row.body), row.without);
    refused(Ask("without", row.method, row.target, row.body), row.without);
    const ApiAnswer answer = Ask("with", row.method, row.target, row.body);
    EXPECT_EQ(answer.status(), row.with) << answer.bytes;
    if (row.with == 200) {
      EXPECT_TRUE(Tells(answer, row.told)) << answer.bytes;
    }
    if (row.with == 501) {
      EXPECT_EQ(answer.header("X-Meshgate-Reason"), "NOT_SERVED") << answer.bytes;
      EXPECT_TRUE(absl::StrContains(answer.body(), on_consul() ? "--auth=mtls" : "--backend=consul")) << answer.bytes;
    }
  }
}

}  // namespace
}  // namespace meshgate::testing
