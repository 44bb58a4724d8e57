// Where names must not lead the embedded store's probes.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "consul/embedded/curl_prober.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::embedded {
namespace {

using testing::TinyHttpServer;

ProbeResult Probe(CheckAllowList list, CheckDefinition check) {
  CurlProber prober(std::move(list));
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

// A name that is listed may come to lead to the metadata service, or to what listens for this host alone; the answer,
// credentials among others, would be kept as the check's output.
TEST(ProbeTargetsTest, NamesLeadToListedAddressesAlone) {
  TinyHttpServer server;
  const std::string url = "http://localhost:" + std::to_string(server.port()) + "/";
  CheckDefinition tcp;
  tcp.probe = TcpProbe{"localhost:" + std::to_string(server.port())};
  const CheckAllowList by_name = CheckAllowList::Parse({"localhost"}).value();
  for (const CheckDefinition& check : {tcp, Http(url)}) {
    const ProbeResult result = Probe(by_name, check);
    EXPECT_EQ(result.health, Health::kCritical);
    EXPECT_EQ(result.output, "the name leads to an address that --check_allow does not list");
    EXPECT_EQ(Probe(CheckAllowList::OfThisHost(), check).health, Health::kPassing);
  }
  for (const char* to : {"http://169.254.169.254/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::]/"}) {
    EXPECT_EQ(Probe(CheckAllowList::OfThisHost(), Http(to)).health, Health::kCritical) << to;
  }
}

}  // namespace
}  // namespace meshgate::consul::embedded
