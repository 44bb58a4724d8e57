// Consul over HTTPS, where many queries share a connection.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/live_backend.h"
#include "tests/testing/certificates.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::consul {
namespace {

using testing::ConsulAgent;

class ConsulTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto certificates = testing::MakeCertificates(getenv("TEST_TMPDIR"));
    ASSERT_TRUE(certificates.has_value());
    port_ = testing::FreePorts(1)[0];
    ConsulAgent::Options agent;
    agent.hcl = testing::HttpsOf(*certificates, port_);
    agent_ = std::make_unique<ConsulAgent>(agent);
    ASSERT_TRUE(agent_->ready());
    options_.address = absl::StrCat("https://127.0.0.1:", port_);
    options_.ca_file = certificates->ca_file;
  }

  uint16_t port_ = 0;
  std::unique_ptr<ConsulAgent> agent_;
  http::ConsulBackendOptions options_;
};

// Would break if a transfer that ended beside others on its connection left something behind that fails a later one:
// libcurl 7.88 keeps such a handle's buffer, and then refuses to set its size.
TEST_F(ConsulTlsTest, CallsThatShareAConnectionSucceed) {
  LiveBackend backend(options_);
  ASSERT_TRUE(backend.Put("a", "0").ok());
  for (int round = 1; round <= 5; ++round) {
    const auto held = backend.ReadKey("a");
    ASSERT_TRUE(held.ok()) << held.status();
    const uint64_t index = *held->meta.index;
    std::vector<LiveBackend::PendingEntries> watches;
    for (int i = 0; i < 50; ++i) watches.push_back(backend.Watch("a", index));
    std::vector<LiveBackend::PendingEntries> reads;
    for (int i = 0; i < 50; ++i) reads.push_back(backend.Watch("a", 0));
    for (const auto& read : reads) {
      auto answer = read.Get(LiveBackend::kBound);
      ASSERT_TRUE(answer.has_value());
      ASSERT_TRUE(answer->ok()) << answer->status();
    }
    auto put = backend.Put("a", std::to_string(round));
    ASSERT_TRUE(put.ok()) << put.status();
    for (const auto& watch : watches) {
      auto answer = watch.Get(LiveBackend::kBound);
      ASSERT_TRUE(answer.has_value());
      ASSERT_TRUE(answer->ok()) << answer->status();
      EXPECT_EQ((*answer)->value.at(0).value, std::to_string(round));
    }
  }
  EXPECT_LE(agent_->ClientConnections(port_), 4);
}

}  // namespace
}  // namespace meshgate::consul
