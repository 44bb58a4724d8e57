// An acknowledged write of the embedded backend survives the process.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::GatewayProcess;

// Writers are cut off by a SIGKILL while a thousand writes are under way; what was acknowledged must be there
// afterwards.
TEST(DurabilityTest, KillLosesNoAcknowledgedWrite) {
  const std::string data_dir = std::string(getenv("TEST_TMPDIR")) + "/data";
  constexpr int kWriters = 4;
  constexpr int kWrites = 1000;
  constexpr int kKillAfter = 500;

  std::vector<std::set<std::string>> acknowledged(kWriters);
  {
    GatewayProcess gateway({"--data_dir=" + data_dir});
    ASSERT_TRUE(gateway.listening());
    std::atomic<int> total{0};
    std::vector<std::thread> writers;
    for (int w = 0; w < kWriters; ++w) {
      writers.emplace_back([&, w] {
        auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
        for (int i = 0; i < kWrites / kWriters; ++i) {
          v1::PutConfigRequest request;
          request.set_key("w" + std::to_string(w) + "/" + std::to_string(i));
          request.set_value(request.key() + " has this value");
          v1::PutConfigResponse response;
          grpc::ClientContext context;
          if (!stub->PutConfig(&context, request, &response).ok()) return;
          acknowledged[static_cast<size_t>(w)].insert(request.key());
          if (++total == kKillAfter) gateway.process().Signal(SIGKILL);
        }
      });
    }
    for (auto& writer : writers) writer.join();
    ASSERT_GE(total, kKillAfter);
    ASSERT_LT(total, kWrites) << "the gateway outlived the kill: nothing was tested";
    const auto ended = gateway.process().Wait();
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->signal, SIGKILL);
  }

  GatewayProcess gateway({"--data_dir=" + data_dir});
  ASSERT_TRUE(gateway.listening());
  auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
  for (const auto& keys : acknowledged) {
    for (const std::string& key : keys) {
      v1::GetConfigRequest request;
      request.set_key(key);
      request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
      v1::GetConfigResponse response;
      grpc::ClientContext context;
      const grpc::Status status = stub->GetConfig(&context, request, &response);
      ASSERT_TRUE(status.ok()) << key << ": " << status.error_message();
      EXPECT_EQ(response.entry().value(), key + " has this value");
    }
  }
}

// The index must not go back over a restart: watchers would take it for a loss of data.
TEST(DurabilityTest, IndexesGoOnAfterARestart) {
  const std::string data_dir = std::string(getenv("TEST_TMPDIR")) + "/indexes";
  uint64_t last = 0;
  for (int run = 0; run < 3; ++run) {
    GatewayProcess gateway({"--data_dir=" + data_dir});
    ASSERT_TRUE(gateway.listening());
    auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
    v1::PutConfigRequest request;
    request.set_key("a");
    request.set_value(std::to_string(run));
    v1::PutConfigResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->PutConfig(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_GT(response.entry().modify_index(), last);
    last = response.entry().modify_index();
    gateway.process().Signal(SIGTERM);
    const auto ended = gateway.process().Wait();
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->code, 0);
  }
}

}  // namespace
}  // namespace meshgate
