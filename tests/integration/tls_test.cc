// What clients meet at ports that speak TLS, and TLS at those that don't.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/certificates.h"
#include "tests/testing/child_process.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tls_client.h"

namespace meshgate {
namespace {

using testing::CertificateAuthority;
using testing::Certificates;
using testing::GatewayProcess;
using testing::TlsClient;
using Dates = CertificateAuthority::Wanted::Dates;

// The gateway with mutual TLS on both ports, and who calls it.
class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = new World(getenv("TEST_TMPDIR")); }
  static void TearDownTestSuite() { delete world_; }

  struct World {
    explicit World(const std::string& folder)
        : authority(folder, "ca"),
          other_authority(folder, "other"),
          server(authority.Sign("server")),
          client(authority.Sign("client")),
          stranger(other_authority.Sign("stranger")),
          expired(authority.Sign("expired", With(Dates::kOver))),
          early(authority.Sign("early", With(Dates::kToCome))) {
      testing::ChildProcess::Options options;
      options.stderr_file = folder + "/gateway.log";
      std::vector<std::string> flags;
      for (const char* listener : {"grpc", "http"}) {
        flags.push_back(absl::StrCat("--", listener, "_tls_cert_file=", server.cert_file));
        flags.push_back(absl::StrCat("--", listener, "_tls_key_file=", server.key_file));
        flags.push_back(absl::StrCat("--", listener, "_tls_client_ca_file=", authority.ca_file()));
      }
      gateway = std::make_unique<GatewayProcess>(flags, options);
      gateway->CallByTls(client);
    }
    static CertificateAuthority::Wanted With(Dates dates) {
      CertificateAuthority::Wanted wanted;
      wanted.dates = dates;
      return wanted;
    }

    CertificateAuthority authority, other_authority;
    Certificates server, client, stranger, expired, early;
    std::unique_ptr<GatewayProcess> gateway;
  };

  void SetUp() override { ASSERT_TRUE(world_->gateway->listening()); }

  static const std::string& AddressOf(const std::string& listener) {
    return listener == "grpc" ? world_->gateway->grpc_address() : world_->gateway->http_address();
  }
  static std::string FailuresFor(const std::string& listener, const std::string& reason) {
    return absl::StrCat("meshgate_tls_handshake_failures_total{listener=\"", listener, "\",reason=\"", reason, "\"}");
  }
  // What comes back for a request of the port's protocol: of HTTP/2 the server's first frame, SETTINGS.
  static std::string Exchange(const std::string& listener, TlsClient* client) {
    if (listener == "http") client->Write("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    return client->Read();
  }
  static bool IsAnswer(const std::string& listener, const std::string& bytes) {
    return listener == "http" ? absl::StartsWith(bytes, "HTTP/1.1 200 ") : bytes.size() > 9 && bytes[3] == 4;
  }

  static TlsClient::Options Good() {
    TlsClient::Options options;
    options.ca_file = world_->authority.ca_file();
    options.cert_file = world_->client.cert_file;
    options.key_file = world_->client.key_file;
    return options;
  }
  static TlsClient::Options Showing(const Certificates& certificates) {
    TlsClient::Options options = Good();
    options.cert_file = certificates.cert_file;
    options.key_file = certificates.key_file;
    return options;
  }
  static std::string Log() {
    std::ifstream in(absl::StrCat(getenv("TEST_TMPDIR"), "/gateway.log"));
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  static World* world_;
};

TlsTest::World* TlsTest::world_ = nullptr;

// Would break if a client that keeps to the rules were refused, or spoken to in another version than it asks for.
TEST_F(TlsTest, ServesGoodClients) {
  for (const std::string listener : {"grpc", "http"}) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const bool offers : {false, true}) {
        TlsClient::Options options = Good();
        options.min_version = options.max_version = version;
        const std::string protocol = listener == "grpc" ? "h2" : "http/1.1";
        if (offers) options.protocols = {"other", protocol};
        TlsClient client(AddressOf(listener), options);
        ASSERT_TRUE(client.Handshake()) << listener << ": " << client.error();
        EXPECT_EQ(client.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
        EXPECT_EQ(client.protocol(), offers ? protocol : "");
        EXPECT_TRUE(IsAnswer(listener, Exchange(listener, &client))) << listener << ": " << client.error();
      }
    }
  }
}

// Would break if somebody came in who should not, stayed connected, or an operator were not told why, in the log and by
// the metric.
TEST_F(TlsTest, RefusesOthers) {
  struct Case {
    const char* what;
    TlsClient::Options options;
    const char* reason;
  };
  std::vector<Case> cases;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto add = [&](const char* what, TlsClient::Options options, const char* reason) {
      options.min_version = options.max_version = version;
      cases.push_back({what, options, reason});
    };
    TlsClient::Options bare = Good();
    bare.cert_file.clear();
    add("no certificate", bare, "no_certificate");
    add("somebody else's certificate", Showing(world_->stranger), "unknown_ca");
    add("an old certificate", Showing(world_->expired), "expired_certificate");
    add("tomorrow's certificate", Showing(world_->early), "expired_certificate");
    TlsClient::Options trusts_other = Good();
    trusts_other.ca_file = world_->other_authority.ca_file();
    add("a client that does not know the authority", trusts_other, "refused_by_client");
    TlsClient::Options elsewhere = Good();
    elsewhere.address = "127.0.0.2";
    add("a client that wants another host", elsewhere, "refused_by_client");
    TlsClient::Options later = Good();
    later.now = time(nullptr) + 3 * 24 * 3600;
    add("a client for which the server's certificate is old", later, "refused_by_client");
    TlsClient::Options alpn = Good();
    alpn.protocols = {"spdy/3", "h3"};
    add("other protocols", alpn, "alpn");
  }
  TlsClient::Options old = Good();
  old.min_version = old.max_version = TLS1_1_VERSION;
  cases.push_back({"TLS 1.1", old, "version"});
  TlsClient::Options weak = Good();
  weak.max_version = TLS1_2_VERSION;
  weak.ciphers = "ECDHE-ECDSA-AES128-SHA";
  cases.push_back({"CBC", weak, "cipher"});

  for (const std::string listener : {"grpc", "http"}) {
    for (const Case& c : cases) {
      const std::string metric = FailuresFor(listener, c.reason);
      const double before = world_->gateway->Metric(metric).value_or(-1);
      TlsClient client(AddressOf(listener), c.options);
      std::string answer;
      if (client.Handshake()) answer = Exchange(listener, &client);
      EXPECT_EQ(answer, "") << listener << ", " << c.what;
      EXPECT_NE(client.error(), "") << listener << ", " << c.what;
      EXPECT_TRUE(client.WaitForClose()) << listener << ", " << c.what;
      EXPECT_TRUE(world_->gateway->WaitForMetric(metric, before + 1)) << listener << ", " << c.what;
    }
  }
  const std::string log = Log();
  for (const char* line :
       {"the client showed no certificate, and --grpc_tls_client_ca_file asks for one",
        "the client's certificate is not signed by an authority of --http_tls_client_ca_file",
        "the client's certificate has expired or is not valid yet",
        "the client does not take this gateway's certificate",
        "the client offers protocols (ALPN), and h2 is not among them",
        "the client offers protocols (ALPN), and http/1.1 is not among them",
        "the client speaks no version of TLS from 1.2 on", "the client has no cipher in common with this gateway"}) {
    EXPECT_TRUE(absl::StrContains(log, line)) << line;
  }
}

// Would break if a client that was given the wrong scheme were left to wait, or not told.
TEST_F(TlsTest, ClosesPlainText) {
  struct Case {
    const char* request;
    const char* answer;
  };
  for (const std::string listener : {"grpc", "http"}) {
    for (const Case& c : {Case{"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
                          Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", ""}, Case{"hello, hello", ""}}) {
      const std::string metric = FailuresFor(listener, "plaintext");
      const double before = world_->gateway->Metric(metric).value_or(-1);
      TlsClient client(AddressOf(listener), {});
      ASSERT_TRUE(client.WriteRaw(c.request));
      if (*c.answer != '\0') {
        const std::string answer = client.ReadRaw();
        EXPECT_TRUE(absl::StartsWith(answer, c.answer)) << answer;
        EXPECT_TRUE(absl::EndsWith(answer, "\r\n\r\nThis port speaks TLS, not plain text\n")) << answer;
      }
      EXPECT_TRUE(client.WaitForClose());
      EXPECT_TRUE(world_->gateway->WaitForMetric(metric, before + 1)) << listener << ": " << c.request;
    }
  }
}

// Would break if a load balancer that looks whether a port is open filled the log, or went uncounted.
TEST_F(TlsTest, CountsThoseThatGoAway) {
  for (const std::string listener : {"grpc", "http"}) {
    const std::string metric = FailuresFor(listener, "closed");
    const double before = world_->gateway->Metric(metric).value_or(-1);
    { TlsClient client(AddressOf(listener), {}); }
    EXPECT_TRUE(world_->gateway->WaitForMetric(metric, before + 1)) << listener;
  }
  EXPECT_FALSE(absl::StrContains(Log(), "the client went away"));
}

// Would break if what gRPC's own clients do did not work over mutual TLS.
TEST_F(TlsTest, ServesGrpc) {
  auto stub = v1::ConfigService::NewStub(world_->gateway->NewChannel());
  v1::PutConfigRequest put;
  put.set_key("a");
  // More than a record, and than what a socket takes at once.
  put.set_value(std::string(500'000, 'x'));
  grpc::ClientContext putting, getting;
  v1::PutConfigResponse written;
  const grpc::Status wrote = stub->PutConfig(&putting, put, &written);
  ASSERT_TRUE(wrote.ok()) << wrote.error_message();
  v1::GetConfigRequest get;
  get.set_key("a");
  v1::GetConfigResponse got;
  const grpc::Status read = stub->GetConfig(&getting, get, &got);
  ASSERT_TRUE(read.ok()) << read.error_message();
  EXPECT_EQ(got.entry().value(), put.value());
}

// Would break if meshgatectl could not call a gateway with TLS, or did not say what is wrong with how it was told to.
TEST_F(TlsTest, MeshgatectlSpeaksTls) {
  struct Case {
    std::vector<std::string> options;
    int code;
    std::string said;
  };
  const std::string ca = "--ca-file=" + world_->authority.ca_file(), cert = "--cert-file=" + world_->client.cert_file,
                    key = "--key-file=" + world_->client.key_file;
  const std::vector<Case> cases = {
      {{ca, cert, key}, 0, "b"},
      {{"--tls", cert, key}, 78, "the gateway's certificate is signed by nobody who is trusted: check --ca-file"},
      {{ca, cert, key, "--tls-server-name=other.example"},
       78,
       "the gateway's certificate is for another name: check --tls-server-name"},
      {{ca}, 78, "the gateway may ask for a certificate that it knows: --cert-file and --key-file"},
      {{}, 78, "if that port speaks TLS, give --tls or --ca-file"},
      {{"--ca-file=/missing"}, 1, "cannot read /missing: No such file or directory"},
      {{ca, cert}, 2, "--cert-file needs --key-file"},
  };
  const auto run = [](std::vector<std::string> words, const std::vector<std::string>& options, int* code) {
    words.insert(words.end(), options.begin(), options.end());
    std::string line = "exec client/meshgatectl -e " + world_->gateway->grpc_address();
    for (const std::string& word : words) line += " '" + word + "'";
    testing::ExitStatus status;
    std::string said = testing::RunCommand({"/bin/sh", "-c", line + " 2>&1"}, &status);
    *code = status.code.value_or(-1);
    return said;
  };
  int code = 0;
  run({"put", "ctl", "b"}, cases[0].options, &code);
  ASSERT_EQ(code, 0);
  for (const Case& c : cases) {
    const std::string said = run({"get", "ctl"}, c.options, &code);
    EXPECT_EQ(code, c.code) << said;
    EXPECT_TRUE(absl::StrContains(said, c.said)) << said << "\n" << c.said;
  }
}

// Would break if a client that speaks TLS to a port that does not were left to wait.
TEST_F(TlsTest, PlainPortsCloseTls) {
  GatewayProcess plain({});
  ASSERT_TRUE(plain.listening());
  for (const std::string& address : {plain.grpc_address(), plain.http_address()}) {
    TlsClient client(address, Good());
    EXPECT_FALSE(client.Handshake());
    EXPECT_TRUE(client.WaitForClose());
  }
}

// Would break if a gateway began to serve with a certificate that it cannot use.
TEST_F(TlsTest, DoesNotStartWithFilesThatCannotBeUsed) {
  testing::ChildProcess::Options options;
  options.stderr_file = absl::StrCat(getenv("TEST_TMPDIR"), "/refused.log");
  GatewayProcess gateway(
      {"--http_tls_cert_file=" + world_->expired.cert_file, "--http_tls_key_file=" + world_->expired.key_file},
      options);
  EXPECT_FALSE(gateway.listening());
  const auto ended = gateway.process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 1);
  std::ifstream in(options.stderr_file);
  const std::string log{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(absl::StrContains(
      log, absl::StrCat("--http_tls_cert_file: the certificate in ", world_->expired.cert_file, " expired at ")))
      << log;
}

}  // namespace
}  // namespace meshgate
