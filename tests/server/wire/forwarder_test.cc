// Calls that a grpc::Server behind the front serves: everything but what is in the table of methods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "consul/base/thread_pool_scheduler.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/server/wire/test_server.h"

namespace meshgate::server::wire {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;

std::string Text(grpc::string_ref text) { return {text.data(), text.size()}; }

// A service of gRPC's own kind.
class Behind final : public v1::ConfigService::Service {
 public:
  // Sends back what it was sent, metadata too.
  grpc::Status PutConfig(grpc::ServerContext* context, const v1::PutConfigRequest* request,
                         v1::PutConfigResponse* response) override {
    for (const auto& [name, value] : context->client_metadata()) {
      const std::string key = Text(name);
      if (key.substr(0, 4) == "echo") context->AddTrailingMetadata(key, Text(value));
    }
    has_deadline = context->deadline() < std::chrono::system_clock::now() + std::chrono::hours(1);
    if (request->key() == "fail") return {grpc::StatusCode::FAILED_PRECONDITION, "no: 100%", "details\xff"};
    if (request->key() == "wait") {
      ++waiting;
      while (!context->IsCancelled()) std::this_thread::yield();
      ++cancelled;
    }
    response->mutable_entry()->set_value(request->value());
    return grpc::Status::OK;
  }

  // Messages of 64 KiB: as many as `progress_interval` has seconds, or without end where that is zero.
  grpc::Status WatchConfig(grpc::ServerContext* context, const v1::WatchConfigRequest* request,
                           grpc::ServerWriter<v1::WatchConfigResponse>* writer) override {
    const int64_t count = request->progress_interval().seconds();
    v1::WatchConfigResponse response;
    response.add_events()->mutable_entry()->set_value(std::string(64 << 10, 'x'));
    ++streams;
    for (int64_t i = 1; count == 0 || i <= count; ++i) {
      response.set_index(static_cast<uint64_t>(i));
      if (!writer->Write(response)) break;
      written = i;
    }
    --streams;
    return {grpc::StatusCode::ABORTED, "over"};
  }

  std::atomic<bool> has_deadline{false};
  std::atomic<int> waiting{0}, cancelled{0}, streams{0};
  std::atomic<int64_t> written{0};
};

class ForwarderTest : public ::testing::Test {
 protected:
  void Start() {
    auto behind = std::make_unique<Behind>();
    behind_ = behind.get();
    server_.Start(std::move(behind));
  }
  grpc::Status Put(grpc::ClientContext* context, const std::string& key, const std::string& value = "",
                   v1::PutConfigResponse* response = nullptr) {
    v1::PutConfigRequest request;
    request.set_key(key);
    request.set_value(value);
    v1::PutConfigResponse unused;
    return server_.stub->PutConfig(context, request, response != nullptr ? response : &unused);
  }

  ThreadPoolScheduler scheduler_{2, "test"};
  testing::TestServer server_{&scheduler_};
  Behind* behind_ = nullptr;
};

// Would break if a service of gRPC's own kind were not told what its caller says, or the caller what it answers.
TEST_F(ForwarderTest, BytesAndMetadataBothWays) {
  Start();
  grpc::ClientContext context;
  context.AddMetadata("echo-text", "a b");
  context.AddMetadata("echo-bytes-bin", std::string("\0\xff,", 3));
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  v1::PutConfigResponse response;
  const grpc::Status status = Put(&context, "a", std::string(300'000, 'v'), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.entry().value(), std::string(300'000, 'v'));
  EXPECT_TRUE(behind_->has_deadline);
  const auto& trailers = context.GetServerTrailingMetadata();
  ASSERT_EQ(trailers.count("echo-text"), 1u);
  EXPECT_EQ(Text(trailers.find("echo-text")->second), "a b");
  ASSERT_EQ(trailers.count("echo-bytes-bin"), 1u);
  EXPECT_EQ(Text(trailers.find("echo-bytes-bin")->second), std::string("\0\xff,", 3));
}

// Would break if an error from behind lost its code, its text or its details.
TEST_F(ForwarderTest, Errors) {
  Start();
  grpc::ClientContext context;
  const grpc::Status status = Put(&context, "fail");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "no: 100%");
  EXPECT_EQ(status.error_details(), "details\xff");
}

// Would break if a header that gRPC aborts over came to it.
TEST_F(ForwarderTest, HeadersThatAreNotLegalInGrpc) {
  Start();
  testing::H2Socket peer(server_.address());
  for (const auto& [name, value] :
       {std::pair<const char*, const char*>("x-bin", "not base64!"),
        std::pair<const char*, const char*>("x-text", "\xc3\xa9"), std::pair<const char*, const char*>("x!", "y")}) {
    const int32_t id =
        peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/PutConfig", {{name, value}}));
    peer.client().End(id);
    ASSERT_TRUE(peer.Until([&, id = id] { return peer.client().response(id).closed.has_value(); })) << name;
    EXPECT_EQ(peer.client().response(id).code(), "3") << name;
  }
}

// Would break if messages were lost or reordered on the way, or what is behind ran ahead of a reader without bound.
TEST_F(ForwarderTest, AStreamIsNoFasterThanItsReader) {
  Start();
  grpc::ClientContext context;
  v1::WatchConfigRequest request;
  constexpr int64_t kMessages = 1'000;
  request.mutable_progress_interval()->set_seconds(kMessages);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  auto stub = v1::ConfigService::NewStub(server_.Channel(arguments));
  auto reader = stub->WatchConfig(&context, request);
  v1::WatchConfigResponse response;
  for (int64_t i = 1; i <= kMessages; ++i) {
    ASSERT_TRUE(reader->Read(&response));
    ASSERT_EQ(response.index(), static_cast<uint64_t>(i));
    // Windows, and 256 KiB in between.
    ASSERT_LE(behind_->written, i + 100);
  }
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_message(), "over");
}

// Would break if a caller that goes left its call behind: cancelled, with its connection, or after its deadline.
TEST_F(ForwarderTest, CallersThatGo) {
  Start();
  {
    grpc::ClientContext context;
    auto put = std::async(std::launch::async, [&] { return Put(&context, "wait"); });
    ASSERT_TRUE(Eventually([&] { return behind_->waiting == 1; }));
    context.TryCancel();
    EXPECT_EQ(put.get().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_TRUE(Eventually([&] { return behind_->cancelled == 1; }));
  }
  {
    testing::H2Socket peer(server_.address());
    const int32_t id = peer.client().Begin(
        testing::H2Client::Call("/meshgate.v1.ConfigService/PutConfig", {{"grpc-timeout", "200m"}}));
    peer.client().Send(id, testing::H2Client::Framed("\n\4wait"));
    peer.client().End(id);
    ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).ended; }));
    EXPECT_EQ(peer.client().response(id).code(), "4");
    EXPECT_TRUE(Eventually([&] { return behind_->cancelled == 2; }));
  }
  {
    testing::H2Socket peer(server_.address());
    const int32_t id = peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/WatchConfig"));
    peer.client().Send(id, testing::H2Client::Framed(""));
    peer.client().End(id);
    ASSERT_TRUE(peer.Until([&] { return behind_->streams == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return behind_->streams == 0; }));
}

// Would break if a connection could make the process hold any number of messages on their way to or from whoever is
// behind the front, or what was held once counted for ever.
TEST_F(ForwarderTest, BoundsWhatAConnectionHolds) {
  server_.options.front.connection.session.max_held_bytes = 1 << 20;
  Start();
  {
    grpc::ClientContext context;
    EXPECT_EQ(Put(&context, "a", std::string(400'000, 'v')).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    const grpc::Status status = Put(&context, "a", std::string(100'000, 'v'));
    ASSERT_TRUE(status.ok()) << i << ": " << status.error_message();
  }
  // Two that are given more and more and have no room, of whom one can be.
  testing::H2Socket peer(server_.address(), /*stream_window=*/0);
  std::vector<int32_t> ids;
  for (int i = 0; i < 2; ++i) {
    ids.push_back(peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/WatchConfig")));
    peer.client().Send(ids.back(), testing::H2Client::Framed(""));
    peer.client().End(ids.back());
  }
  const auto code = [&](int call) { return peer.client().response(ids[static_cast<size_t>(call)]).code(); };
  ASSERT_TRUE(peer.Until([&] { return !code(0).empty() || !code(1).empty(); }));
  EXPECT_EQ(code(0) + code(1), "8");
  EXPECT_TRUE(Eventually([&] { return behind_->streams == 1; }));
}

// Would break if one peer could take all the calls that are forwarded, probes of the process's health among them.
TEST_F(ForwarderTest, BoundsTheCallsOfAConnection) {
  server_.options.front.connection.session.max_forwarded = 1;
  Start();
  grpc::ClientContext context;
  auto put = std::async(std::launch::async, [&] { return Put(&context, "wait"); });
  ASSERT_TRUE(Eventually([&] { return behind_->waiting == 1; }));
  grpc::ClientContext more;
  EXPECT_EQ(Put(&more, "a").error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto other = v1::ConfigService::NewStub(server_.Channel());
  v1::PutConfigRequest request;
  v1::PutConfigResponse response;
  grpc::ClientContext others;
  EXPECT_TRUE(other->PutConfig(&others, request, &response).ok());
  context.TryCancel();
  put.get();
  // It counts no more once its end has come to the front.
  EXPECT_TRUE(Eventually([&] {
    grpc::ClientContext again;
    return Put(&again, "a").ok();
  }));
}

// Would break if calls that cost as much as gRPC's own could take any amount of memory.
TEST_F(ForwarderTest, BoundsItsCalls) {
  server_.options.forwarder.max_calls = 1;
  Start();
  grpc::ClientContext context;
  auto put = std::async(std::launch::async, [&] { return Put(&context, "wait"); });
  ASSERT_TRUE(Eventually([&] { return behind_->waiting == 1; }));
  grpc::ClientContext second;
  const grpc::Status status = Put(&second, "a");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("more than 1 calls"));
  context.TryCancel();
  put.get();
  EXPECT_TRUE(Eventually([&] {
    grpc::ClientContext again;
    return Put(&again, "a").ok();
  }));
}

// Would break if a stop met calls that are just ending, or one whose reader has stopped, and went on without them: gRPC
// tells of their end on its own threads, and when it likes.
TEST_F(ForwarderTest, StopsWithCallsOpen) {
  for (int round = 0; round < 10; ++round) {
    testing::TestServer server(&scheduler_);
    auto behind = std::make_unique<Behind>();
    Behind* const service = behind.get();
    server.Start(std::move(behind));
    constexpr int kStreams = 5;
    std::vector<std::unique_ptr<testing::H2Socket>> peers;
    for (int i = 0; i < kStreams; ++i) {
      peers.push_back(std::make_unique<testing::H2Socket>(server.address()));
      testing::H2Client& client = peers.back()->client();
      const int32_t id = client.Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/WatchConfig"));
      client.Send(id, testing::H2Client::Framed(""));
      client.End(id);
      ASSERT_TRUE(peers.back()->Until([&] { return client.response(id).data.size() == 65535; }));
    }
    ASSERT_TRUE(Eventually([&] { return service->streams == kStreams; }));
    server.server.reset();
  }
}

}  // namespace
}  // namespace meshgate::server::wire
