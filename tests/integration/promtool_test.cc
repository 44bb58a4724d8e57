#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include "metrics/registry.h"

namespace meshgate::metrics {
namespace {

// Would break if Prometheus' own linter objected to a name, a type, a unit or a missing help text.
TEST(PromtoolTest, AcceptsTheExposition) {
  constexpr char kPromtool[] = "/usr/bin/promtool";
  if (access(kPromtool, X_OK) != 0) GTEST_SKIP() << kPromtool << " is not installed (package prometheus)";
  Registry registry("0.0.0", "embedded");
  registry.rpc_reporter()->Method(RpcReporter::Type::kUnary, "a.B", "C")->OnHandled(0, absl::Seconds(1));
  const std::string path = ::testing::TempDir() + "/metrics.txt";
  std::ofstream(path) << registry.Scrape();

  FILE* pipe = popen((std::string(kPromtool) + " check metrics < " + path + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) said.append(buffer.data(), n);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(said, "");
}

}  // namespace
}  // namespace meshgate::metrics
