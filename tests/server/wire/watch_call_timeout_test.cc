// How long readers that do not read, and callers that do not wait, are waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "consul/base/errors.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/server/wire/number_source.h"
#include "tests/server/wire/test_server.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using testing::NumberSource;

class WatchCallTimeoutTest : public ::testing::Test {
 protected:
  WatchCallTimeoutTest() {
    // One thread, whose sweep sends a ping after 30 s: a peer that has it knows that what is due by then was done.
    server_.options.front.threads = 1;
    server_.options.front.connection.keepalive_time = absl::Seconds(30);
    server_.options.front.connection.keepalive_timeout = absl::Hours(1);
    server_.watch = [this](const v1::WatchConfigRequest& request, const Caller&,
                           const std::shared_ptr<Outbox>& outbox) {
      (request.key() == "large" ? large_ : quiet_).Attach(outbox);
    };
    server_.Start();
  }

  // A stream in whose first message its reader, who never reads it, stops.
  std::unique_ptr<grpc::ClientReader<v1::WatchConfigResponse>> Stall(grpc::ClientContext* context) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stalled_stub_ = v1::ConfigService::NewStub(server_.Channel(arguments));
    v1::WatchConfigRequest request;
    request.set_key("large");
    auto reader = stalled_stub_->WatchConfig(context, request);
    large_.WaitTaken();
    return reader;
  }
  void Sweep() {
    testing::H2Socket witness(server_.address());
    ASSERT_TRUE(witness.Until([&] { return witness.client().settled(); }));
    // After which it is silent.
    witness.client().Ping();
    ASSERT_TRUE(witness.Until([&] { return witness.client().pongs() == 1; }));
    scheduler_.Advance(absl::Seconds(30));
    ASSERT_TRUE(witness.Until([&] { return witness.client().pings() == 1; }));
  }

  testing::ManualScheduler scheduler_;
  testing::TestServer server_{&scheduler_};
  NumberSource large_{8 << 20}, quiet_;
  std::unique_ptr<v1::ConfigService::Stub> stalled_stub_;
};

// Would break if a program that stands still for a minute lost its stream, or missed the latest state afterwards.
TEST_F(WatchCallTimeoutTest, AReaderThatStopsForAMinuteKeepsItsStream) {
  grpc::ClientContext context;
  auto reader = Stall(&context);
  for (int second = 0; second < 30; ++second) {
    large_.Publish();
    scheduler_.Advance(absl::Seconds(1));
  }
  Sweep();
  EXPECT_EQ(server_.streams.size(), 1u);
  v1::WatchConfigResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.index(), 1u);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.index(), 31u);
  context.TryCancel();
  reader->Finish();
}

// Would break if one reader that never reads could hold its stream and message for good, took an idle one with it, or
// did not hear that it should come back.
TEST_F(WatchCallTimeoutTest, AWriteThatStallsEndsThatStreamAlone) {
  grpc::ClientContext quiet_context, large_context;
  v1::WatchConfigRequest request;
  v1::WatchConfigResponse response;
  request.set_key("quiet");
  auto quiet_reader = server_.stub->WatchConfig(&quiet_context, request);
  ASSERT_TRUE(quiet_reader->Read(&response));
  auto large_reader = Stall(&large_context);
  scheduler_.Advance(absl::Seconds(89));
  Sweep();
  EXPECT_EQ(server_.streams.size(), 2u) << "not before its time";
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_TRUE(testing::Eventually([&] { return server_.streams.size() == 1; }));
  EXPECT_EQ(server_.Metric(R"(meshgate_watch_dropped_total{reason="slow_reader"})"), 1);
  EXPECT_EQ(server_.Metric(R"(meshgate_watch_dropped_total{reason="failed"})"), 0);
  EXPECT_EQ(server_.WatchesHandled("Unavailable"), 1);
  quiet_.Publish();
  EXPECT_TRUE(quiet_reader->Read(&response));
  EXPECT_EQ(response.index(), 2u);
  while (large_reader->Read(&response)) {
  }
  const grpc::Status status = large_reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("has not taken a message for 2m"));
  EXPECT_THAT(status.error_details(), HasSubstr("SLOW_READER"));
  quiet_context.TryCancel();
}

// Would break if a drain waited for a reader that does not read as long as a running gateway does.
TEST_F(WatchCallTimeoutTest, ADrainCutsAReaderThatDoesNotReadSoon) {
  grpc::ClientContext context;
  auto reader = Stall(&context);
  server_.streams.EndAll(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "stopping"));
  server_.server->BeginShutdown(absl::Now() + absl::Seconds(60));
  scheduler_.Advance(absl::Milliseconds(1100));
  EXPECT_TRUE(
      testing::Eventually([&] { return server_.Metric(R"(meshgate_watch_dropped_total{reason="draining"})") == 1; }));
  EXPECT_EQ(server_.Metric(R"(meshgate_watch_dropped_total{reason="slow_reader"})"), 0);
  v1::WatchConfigResponse response;
  while (reader->Read(&response)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("DRAINING"));
  EXPECT_TRUE(server_.Idle());
}

// Would break if a caller's deadline left its stream open. The peer here keeps no time itself.
TEST_F(WatchCallTimeoutTest, DeadlineEndsTheStream) {
  testing::H2Socket peer(server_.address());
  const int32_t id = peer.client().Begin(
      testing::H2Client::Call("/meshgate.v1.ConfigService/WatchConfig", {{"grpc-timeout", "100m"}}));
  peer.client().Send(id, testing::H2Client::Framed(""));
  peer.client().End(id);
  ASSERT_TRUE(peer.Until([&] { return !peer.client().response(id).data.empty(); }));
  EXPECT_EQ(server_.streams.size(), 1u);
  scheduler_.Advance(absl::Milliseconds(100));
  ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).ended; }));
  EXPECT_EQ(peer.client().response(id).code(), "4");
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.streams.size(), 0u);
  EXPECT_EQ(server_.WatchesHandled("DeadlineExceeded"), 1);
}

}  // namespace
}  // namespace meshgate::server
