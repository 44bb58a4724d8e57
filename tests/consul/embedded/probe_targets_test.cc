// Where the embedded store's probes may not lead.
#include <gtest/gtest.h>

#include <string>

#include "consul/embedded/curl_prober.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::embedded {
namespace {

using testing::TinyHttpServer;

ProbeResult Probe(CheckDefinition check) {
  CurlProber prober;
  testing::Pending<ProbeResult> pending;
  prober.Probe(check, absl::Seconds(30), pending.Callback());
  std::optional<ProbeResult> result = pending.Get(absl::Seconds(60));
  EXPECT_TRUE(result.has_value()) << "no answer";
  return result.value_or(ProbeResult{});
}

CheckDefinition Http(const std::string& url) {
  CheckDefinition check;
  check.probe = HttpProbe{url, "", {}, false};
  return check;
}

// A name may resolve to the metadata service after the registration was accepted; its answer, credentials, would be
// kept as the check's output.
TEST(ProbeTargetsTest, LinkLocalAddressesAreNotConnectedTo) {
  CheckDefinition tcp;
  tcp.probe = TcpProbe{"169.254.169.254:80"};
  for (const CheckDefinition& check : {tcp, Http("http://169.254.169.254/"), Http("http://[fe80::1]/")}) {
    const ProbeResult result = Probe(check);
    EXPECT_EQ(result.health, Health::kCritical);
    EXPECT_EQ(result.output, "link-local addresses are not probed");
  }
}

// An instance would send the gateway there, or to its own files.
TEST(ProbeTargetsTest, RedirectsLeadNowhereElse) {
  for (const auto& [location, output] :
       {std::pair<const char*, const char*>{"http://169.254.169.254/", "link-local"}, {"file:///etc/passwd", "file"}}) {
    TinyHttpServer server([location = location](TinyHttpServer::Connection& connection) {
      connection.ReadRequest();
      connection.Write(std::string("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ") + location + "\r\n\r\n");
    });
    const ProbeResult result = Probe(Http("http://127.0.0.1:" + std::to_string(server.port())));
    EXPECT_EQ(result.health, Health::kCritical);
    EXPECT_NE(result.output.find(output), std::string::npos) << result.output;
    EXPECT_EQ(result.output.find("root:"), std::string::npos);
  }
}

}  // namespace
}  // namespace meshgate::consul::embedded
