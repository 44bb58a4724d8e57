// What Prometheus' own linter says of the exposition.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "metrics/registry.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

// Everything that promtool says of `exposition`; "" when it has nothing to object to. It comes with the package
// prometheus, which tests/run.sh installs.
std::string Lint(const std::string& exposition) {
  static int count = 0;
  const std::string path = std::string(getenv("TEST_TMPDIR")) + "/metrics" + std::to_string(++count) + ".txt";
  std::ofstream(path) << exposition;
  testing::ExitStatus status;
  std::string said =
      testing::RunCommand({"/bin/sh", "-c", "exec /usr/bin/promtool check metrics <\"$0\" 2>&1", path}, &status);
  if (status.code != 0) said += "\nexit status " + std::to_string(status.code.value_or(-1));
  return said;
}

// Would break if a name, a type, a unit or a missing help text were not what Prometheus asks for.
TEST(PromtoolTest, AcceptsTheRegistry) {
  metrics::Registry registry("0.0.0", "embedded");
  registry.rpc_reporter()->Method(metrics::RpcReporter::Type::kUnary, "a.B", "C")->OnHandled(0, absl::Seconds(1));
  registry.tls_reporter("grpc")->OnReload(true);
  EXPECT_EQ(Lint(registry.Scrape()), "");
}

// The same for what a running gateway serves.
TEST(PromtoolTest, AcceptsALiveScrape) {
  testing::GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/data"});
  ASSERT_TRUE(gateway.listening());
  const auto scraped = gateway.Get("/metrics");
  ASSERT_TRUE(scraped.has_value());
  EXPECT_NE(scraped->find("grpc_server_started_total"), std::string::npos);
  EXPECT_EQ(Lint(*scraped), "");
}

// Would break if the linter were not run at all.
TEST(PromtoolTest, ObjectsToABadName) { EXPECT_NE(Lint("# TYPE a_bytes counter\na_bytes 1\n"), ""); }

}  // namespace
}  // namespace meshgate
