// SIGTERM with many open streams.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/config_streams.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/silent_reader.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConfigStreams;
using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::SilentReader;
using ::meshgate::testing::StreamLog;

// A deployment must end quickly, and every reader must learn that it should go elsewhere, by its code.
TEST(DrainTest, EndsAThousandStreamsWithUnavailable) {
  GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/data"});
  ASSERT_TRUE(gateway.listening());
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(gateway.NewChannel());
  ConfigStreams streams;
  v1::WatchConfigRequest request;
  request.set_key("a");
  streams.Open(channels, request, 1000);
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));

  const absl::Time start = absl::Now();
  gateway.process().Signal(SIGTERM);
  const auto ended = gateway.process().Wait();
  const absl::Duration took = absl::Now() - start;
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
  EXPECT_LT(took, absl::Seconds(5));
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.ended; }));
  for (const StreamLog& log : streams.logs()) {
    EXPECT_EQ(log.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(log.status.error_message().find("drain") != std::string::npos ||
                  log.status.error_message().find("shutting down") != std::string::npos,
              true)
        << log.status.error_message();
  }
}

// Half of the streams leave by themselves while the gateway ends the others: nothing may hang or be finished twice.
TEST(DrainTest, SurvivesReadersThatLeaveMeanwhile) {
  GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/leaving"});
  ASSERT_TRUE(gateway.listening());
  v1::WatchConfigRequest request;
  request.set_key("a");
  auto leaving = std::make_unique<ConfigStreams>();
  ConfigStreams staying;
  leaving->Open({gateway.NewChannel()}, request, 200);
  staying.Open({gateway.NewChannel()}, request, 200);
  ASSERT_TRUE(leaving->WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  ASSERT_TRUE(staying.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  gateway.process().Signal(SIGTERM);
  leaving.reset();
  const auto ended = gateway.process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
  ASSERT_TRUE(staying.WaitForAll([](const StreamLog& log) { return log.ended; }));
}

// Would break if readers that do not read kept a stop waiting until its time is up, for everybody.
TEST(DrainTest, DoesNotWaitForReadersThatDoNotRead) {
  GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/stalled", "--drain_timeout=60s"});
  ASSERT_TRUE(gateway.listening());
  const auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
  // Together more than gRPC and the sockets take for a reader that does not read.
  for (int i = 0; i < 40; ++i) {
    grpc::ClientContext context;
    v1::PutConfigRequest put;
    put.set_key("large/" + std::to_string(i));
    put.set_value(std::string(500'000, 'x'));
    v1::PutConfigResponse response;
    ASSERT_TRUE(stub->PutConfig(&context, put, &response).ok());
  }
  v1::WatchConfigRequest request;
  request.set_prefix("large/");
  std::deque<SilentReader> silent;
  for (int i = 0; i < 5; ++i) silent.emplace_back(gateway.NewChannel(), request);
  ASSERT_TRUE(gateway.WaitForMetric("meshgate_watch_streams{kind=\"prefix\"}", 5));
  const absl::Time start = absl::Now();
  gateway.process().Signal(SIGTERM);
  const auto ended = gateway.process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
}

}  // namespace
}  // namespace meshgate
