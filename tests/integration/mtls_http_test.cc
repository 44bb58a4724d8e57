// Callers known by their certificates on the HTTP port.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/certificates.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tls_client.h"

namespace meshgate::testing {
namespace {

// Would break if the HTTP port took somebody for who is not, or did not go by the list that the gRPC port goes by.
TEST(MtlsHttpTest, EachCallerMayDoWhatTheListSays) {
  TempDir folder;
  CertificateAuthority authority(folder.path(), "ca");
  const Certificates server = authority.Sign("server");
  const std::string list = folder.path() + "/list.yaml";
  std::ofstream(list) << "identities: {\"spiffe://test/web\": {read: {keys: [app/]}, write: {keys: [app/]}}}\n";
  std::vector<std::string> flags = {"--auth=mtls", "--auth_mtls_file=" + list, "--limit_caller_streams=1"};
  for (const char* port : {"grpc", "http"}) {
    flags.push_back(absl::StrCat("--", port, "_tls_cert_file=", server.cert_file));
    flags.push_back(absl::StrCat("--", port, "_tls_key_file=", server.key_file));
    flags.push_back(absl::StrCat("--", port, "_tls_client_ca_file=", authority.ca_file()));
  }
  GatewayProcess gateway(std::move(flags));
  ASSERT_TRUE(gateway.listening());
  const auto options_of = [&](const std::string& name) {
    CertificateAuthority::Wanted wanted;
    wanted.common_name = "";
    wanted.alternative_names = name.empty() ? "" : "URI:spiffe://test/" + name;
    const Certificates certificates = authority.Sign("client" + name, wanted);
    TlsClient::Options options;
    options.ca_file = authority.ca_file();
    options.cert_file = certificates.cert_file;
    options.key_file = certificates.key_file;
    return options;
  };
  const auto call = [&](const TlsClient::Options& options, const std::string& request) {
    TlsClient client(gateway.http_address(), options);
    EXPECT_TRUE(client.Handshake()) << client.error();
    client.Write(request + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    std::string all;
    for (std::string some; !(some = client.Read()).empty();) all += some;
    return all;
  };
  const TlsClient::Options web = options_of("web");
  EXPECT_TRUE(absl::StartsWith(call(web, "PUT /api/v1/config/app/k"), "HTTP/1.1 200 "));
  EXPECT_TRUE(absl::StartsWith(call(web, "GET /api/v1/config/app/k"), "HTTP/1.1 200 "));
  EXPECT_TRUE(absl::StartsWith(call(web, "GET /api/v1/config/other"), "HTTP/1.1 403 "));
  const TlsClient::Options other = options_of("other");
  for (const char* request :
       {"PUT /api/v1/config/app/k", "GET /api/v1/config/app/k", "GET /api/v1/watch/config/app/k"}) {
    const std::string answer = call(other, request);
    EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 403 ")) << answer;
    EXPECT_TRUE(absl::StrContains(answer, "IDENTITY_NOT_LISTED")) << answer;
  }
  const std::string nobody = call(options_of(""), "GET /api/v1/config/app/k");
  EXPECT_TRUE(absl::StartsWith(nobody, "HTTP/1.1 401 ")) << nobody;
  EXPECT_TRUE(absl::StrContains(nobody, "IDENTITY_MISSING")) << nobody;

  // A caller's streams count, and until they are over.
  const std::string watch = "GET /api/v1/watch/config/app/k HTTP/1.1\r\nHost: h\r\n\r\n";
  {
    TlsClient stream(gateway.http_address(), web);
    ASSERT_TRUE(stream.Handshake()) << stream.error();
    stream.Write(watch);
    std::string all;
    while (!absl::StrContains(all, "\ndata: ")) {
      const std::string some = stream.Read();
      ASSERT_FALSE(some.empty()) << all;
      all += some;
    }
    const std::string refused = call(web, "GET /api/v1/watch/config/app/k");
    EXPECT_TRUE(absl::StartsWith(refused, "HTTP/1.1 429 ")) << refused;
    EXPECT_TRUE(absl::StrContains(refused, "TOO_MANY_STREAMS")) << refused;
  }
  gateway.CallByTls({authority.ca_file(), web.cert_file, web.key_file});
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_watch_streams{kind=\"key\"}", 0));
  EXPECT_TRUE(absl::StartsWith(call(web, "GET /api/v1/watch/config/app/k?wait=1s"), "HTTP/1.1 200 "));
}

}  // namespace
}  // namespace meshgate::testing
