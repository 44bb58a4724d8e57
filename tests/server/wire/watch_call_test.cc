#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "google/rpc/status.pb.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/server/wire/number_source.h"
#include "tests/server/wire/test_server.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using testing::NumberSource;

class WatchCallTest : public ::testing::Test {
 protected:
  void Start(NumberSource* source) {
    server_.watch = [source](const v1::WatchConfigRequest&, const Caller&, const std::shared_ptr<Outbox>& outbox) {
      source->Attach(outbox);
    };
    server_.Start();
  }

  ThreadPoolScheduler scheduler_{2, "test"};
  testing::TestServer server_{&scheduler_};
};

// Would break if messages were lost, altered or reordered between the outbox and the caller, or the end were not told
// once with its details.
TEST_F(WatchCallTest, DeliversThenFinishesOnce) {
  NumberSource source(1000);
  Start(&source);
  grpc::ClientContext context;
  auto reader = server_.stub->WatchConfig(&context, v1::WatchConfigRequest());
  v1::WatchConfigResponse response;
  for (uint64_t version = 1; version <= 20; ++version) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.index(), version);
    EXPECT_EQ(response.events(0).entry().value(), std::string(1000, 'x'));
    if (version < 20) source.Publish();
  }
  EXPECT_EQ(server_.streams.size(), 1u);
  auto outbox = source.Wait(1).at(0);
  outbox->End(MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidFilter, "the filter does not parse"));
  outbox->End(absl::InternalError("too late"));
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_details(), HasSubstr("INVALID_FILTER"));
  ASSERT_TRUE(server_.Idle());
  EXPECT_EQ(server_.streams.size(), 0u);
  EXPECT_EQ(server_.WatchesHandled("InvalidArgument"), 1);
  EXPECT_EQ(server_.WatchesHandled("Internal"), 0);
  EXPECT_TRUE(testing::Eventually([&] {
    return server_.Metric(R"(grpc_server_msg_sent_total{grpc_method="WatchConfig",)"
                          R"(grpc_service="meshgate.v1.ConfigService",grpc_type="server_stream"})") == 20;
  }));
}

// Would break if the caller learned only with the first message that its stream stands.
TEST_F(WatchCallTest, HeadersComeAtOnce) {
  server_.watch = [](const v1::WatchConfigRequest&, const Caller&, const std::shared_ptr<Outbox>&) {};
  server_.Start();
  grpc::ClientContext context;
  auto reader = server_.stub->WatchConfig(&context, v1::WatchConfigRequest());
  reader->WaitForInitialMetadata();
  EXPECT_EQ(context.GetServerInitialMetadata().count("x-request-id"), 1u);
}

// Would break if a request that does not parse started a stream.
TEST_F(WatchCallTest, MalformedRequest) {
  server_.watch = [](const v1::WatchConfigRequest&, const Caller&, const std::shared_ptr<Outbox>&) {
    ADD_FAILURE() << "the handler was called";
  };
  server_.Start();
  grpc::ClientContext context;
  v1::WatchConfigRequest request;
  request.set_key("\xff");
  auto reader = server_.stub->WatchConfig(&context, request);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  // None at all.
  testing::H2Socket peer(server_.address());
  const int32_t id = peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/WatchConfig"));
  peer.client().End(id);
  ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).ended; }));
  EXPECT_EQ(peer.client().response(id).code(), "3");
  EXPECT_EQ(peer.client().response(id).message(), "the call carries no request");
}

// Would break if a cancellation that meets a write, an end or another cancellation finished a call twice, never, or
// after it was gone: every call must end, and be counted once.
TEST_F(WatchCallTest, CancelStorm) {
  NumberSource source(100);
  Start(&source);
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    while (!stop) source.Publish();
  });
  constexpr int kThreads = 4, kRounds = 100;
  std::vector<std::thread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      std::mt19937 random(t);
      auto stub = v1::ConfigService::NewStub(server_.Channel());
      for (int i = 0; i < kRounds; ++i) {
        grpc::ClientContext context;
        auto reader = stub->WatchConfig(&context, v1::WatchConfigRequest());
        v1::WatchConfigResponse response;
        for (unsigned reads = random() % 4; reads > 0; --reads) reader->Read(&response);
        context.TryCancel();
        reader->Finish();
      }
    });
  }
  for (auto& t : callers) t.join();
  EXPECT_TRUE(server_.Idle());
  stop = true;
  publisher.join();
  EXPECT_EQ(server_.streams.size(), 0u);
  // Also those that were cancelled before their request had arrived.
  const double started = server_.Metric(R"(grpc_server_started_total{grpc_method="WatchConfig",)"
                                        R"(grpc_service="meshgate.v1.ConfigService",grpc_type="server_stream"})");
  EXPECT_GT(started, 0);
  EXPECT_EQ(server_.WatchesHandled("Canceled"), started);
}

// Would break if a reader that does not read made the server queue messages, or missed the latest state in the end.
TEST_F(WatchCallTest, SlowReaderSkipsToTheLatest) {
  NumberSource source(256 << 10);
  Start(&source);
  grpc::ClientContext context;
  auto reader = server_.stub->WatchConfig(&context, v1::WatchConfigRequest());
  source.Wait(1);
  constexpr uint64_t kVersions = 400;
  for (uint64_t i = 1; i < kVersions; ++i) source.Publish();
  v1::WatchConfigResponse response;
  uint64_t last = 0;
  int messages = 0;
  while (last < kVersions && reader->Read(&response)) {
    EXPECT_GT(response.index(), last);
    last = response.index();
    ++messages;
  }
  EXPECT_EQ(last, kVersions);
  EXPECT_LT(messages, static_cast<int>(kVersions));
  context.TryCancel();
  reader->Finish();
}

// Would break if a caller whose connection is gone kept its stream, and what that holds, forever.
TEST_F(WatchCallTest, LostConnectionEndsTheStream) {
  NumberSource source;
  Start(&source);
  {
    auto channel = server_.Channel();
    auto stub = v1::ConfigService::NewStub(channel);
    grpc::ClientContext context;
    auto reader = stub->WatchConfig(&context, v1::WatchConfigRequest());
    v1::WatchConfigResponse response;
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(server_.streams.size(), 1u);
  }
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.streams.size(), 0u);
}

// Would break if a reader that does not read held up those that share its connection.
TEST_F(WatchCallTest, AStalledStreamLeavesItsNeighboursAlone) {
  NumberSource large(8 << 20), small;
  server_.watch = [&](const v1::WatchConfigRequest& request, const Caller&, const std::shared_ptr<Outbox>& outbox) {
    (request.key() == "large" ? large : small).Attach(outbox);
  };
  server_.Start();
  grpc::ClientContext stalled_context, context;
  v1::WatchConfigRequest request;
  request.set_key("large");
  auto stalled = server_.stub->WatchConfig(&stalled_context, request);
  large.WaitTaken();
  request.set_key("small");
  auto reader = server_.stub->WatchConfig(&context, request);
  v1::WatchConfigResponse response;
  for (uint64_t version = 1; version <= 200; ++version) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.index(), version);
    large.Publish();
    small.Publish();
  }
  EXPECT_EQ(server_.streams.size(), 2u);
  stalled_context.TryCancel();
  context.TryCancel();
}

// Reads one stream until it ends.
class StreamReader final : public grpc::ClientReadReactor<v1::WatchConfigResponse> {
 public:
  StreamReader(v1::ConfigService::Stub* stub, std::atomic<int>* opened) : opened_(opened) {
    stub->async()->WatchConfig(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++*opened_;
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override { done_.set_value(status); }
  std::future<grpc::Status> Ended() { return done_.get_future(); }

 private:
  std::atomic<int>* const opened_;
  grpc::ClientContext context_;
  v1::WatchConfigRequest request_;
  v1::WatchConfigResponse response_;
  std::promise<grpc::Status> done_;
};

// Would break if a stop of the gateway left some of its streams without the status that tells them to come back.
TEST_F(WatchCallTest, ShutdownTellsEveryStream) {
  NumberSource source;
  Start(&source);
  constexpr int kStreams = 1000;
  std::atomic<int> opened{0};
  std::vector<std::unique_ptr<v1::ConfigService::Stub>> stubs;
  for (int i = 0; i < 10; ++i) stubs.push_back(v1::ConfigService::NewStub(server_.Channel()));
  std::deque<StreamReader> readers;
  for (int i = 0; i < kStreams; ++i) readers.emplace_back(stubs[i % stubs.size()].get(), &opened);
  ASSERT_EQ(source.Wait(kStreams).size(), static_cast<size_t>(kStreams));

  const absl::Time began = absl::Now();
  server_.streams.EndAll(
      WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "stopping"), absl::Seconds(1)));
  server_.server->BeginShutdown(absl::Now() + absl::Seconds(60));
  EXPECT_TRUE(server_.server->WaitForCalls());
  server_.server->FinishShutdown();
  EXPECT_LT(absl::Now() - began, absl::Seconds(30));
  for (StreamReader& reader : readers) {
    const grpc::Status status = reader.Ended().get();
    ASSERT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    ASSERT_EQ(status.error_message(), "stopping");
    ASSERT_THAT(status.error_details(), HasSubstr("RetryInfo"));
  }
  EXPECT_THAT(server_.registry.Scrape(), HasSubstr(R"(meshgate_watch_dropped_total{reason="draining"} 1000)"));
  EXPECT_EQ(server_.streams.size(), 0u);
}

}  // namespace
}  // namespace meshgate::server
