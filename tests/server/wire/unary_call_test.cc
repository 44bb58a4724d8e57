#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/status.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/call_scope.h"
#include "server/log.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/server/wire/test_server.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using GetReply = Reply<v1::GetConfigResponse>;

class UnaryCallTest : public ::testing::Test {
 protected:
  void Start(testing::OnGetConfig handler) {
    server_.get = std::move(handler);
    server_.Start();
  }

  grpc::Status Get(const std::string& key, v1::GetConfigResponse* response) {
    v1::GetConfigRequest request;
    request.set_key(key);
    return server_.stub->GetConfig(&context_, request, response);
  }

  std::string Header(const std::string& name) {
    const auto& headers = context_.GetServerInitialMetadata();
    auto it = headers.find(name);
    return it == headers.end() ? "" : std::string(it->second.data(), it->second.size());
  }

  testing::ManualScheduler scheduler_;
  testing::TestServer server_{&scheduler_};
  grpc::ClientContext context_;
};

// Would break if requests or responses did not survive the raw bytes, or the call were not counted once.
TEST_F(UnaryCallTest, AnswersAndCounts) {
  Start([](const v1::GetConfigRequest& request, const Caller&, GetReply reply) {
    v1::GetConfigResponse response;
    response.mutable_entry()->set_key(request.key());
    response.mutable_entry()->set_value(std::string(300000, 'v'));
    reply(response);
  });
  v1::GetConfigResponse response;
  ASSERT_TRUE(Get("a/b", &response).ok());
  EXPECT_EQ(response.entry().key(), "a/b");
  EXPECT_EQ(response.entry().value(), std::string(300000, 'v'));
  EXPECT_THAT(Header("x-request-id"), MatchesRegex("[0-9a-f]{16}"));
  EXPECT_TRUE(server_.Idle());
  const std::string text = server_.registry.Scrape();
  const std::string labels = R"(grpc_method="GetConfig",grpc_service="meshgate.v1.ConfigService",grpc_type="unary"})";
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{" + labels + " 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_received_total{" + labels + " 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_sent_total{" + labels + " 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"OK\"," + labels + " 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_count{" + labels + " 1\n"));
}

// Would break if a handler could not answer after it has returned, from another thread.
TEST_F(UnaryCallTest, AnswersLaterFromAnotherThread) {
  std::thread answering;
  Start([&answering](const v1::GetConfigRequest&, const Caller&, GetReply reply) {
    answering = std::thread([reply = std::move(reply)]() mutable { reply(absl::NotFoundError("no such key")); });
  });
  v1::GetConfigResponse response;
  const grpc::Status status = Get("a", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such key");
  answering.join();
}

// Would break if a reply that is dropped left its caller waiting, and with it the shutdown of the server.
TEST_F(UnaryCallTest, DroppedReplyIsUnavailable) {
  Start([](const v1::GetConfigRequest&, const Caller&, GetReply reply) { GetReply dropped = std::move(reply); });
  v1::GetConfigResponse response;
  const grpc::Status status = Get("a", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("DRAINING"));
}

// Would break if a handler did not learn who calls, how long it may take and under which id.
TEST_F(UnaryCallTest, TellsTheHandlerAboutTheCaller) {
  std::promise<Caller> seen;
  Start([&seen](const v1::GetConfigRequest&, const Caller& caller, GetReply reply) {
    seen.set_value(caller);
    reply(v1::GetConfigResponse());
  });
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  context_.AddMetadata("x-request-id", "order-17/2");
  v1::GetConfigResponse response;
  ASSERT_TRUE(Get("a", &response).ok());
  const Caller caller = seen.get_future().get();
  EXPECT_THAT(caller.peer, MatchesRegex("ipv4:127\\.0\\.0\\.1:[0-9]+"));
  EXPECT_EQ(caller.request_id, "order-17/2");
  EXPECT_EQ(Header("x-request-id"), "order-17/2");
  EXPECT_LE(caller.time_left, absl::Seconds(61));
  EXPECT_GT(caller.time_left, absl::Seconds(1));
}

// Would break if a call without a deadline got one, or an endless request id were echoed and logged.
TEST_F(UnaryCallTest, NoDeadlineAndAnUnusableRequestId) {
  std::promise<Caller> seen;
  Start([&seen](const v1::GetConfigRequest&, const Caller& caller, GetReply reply) {
    seen.set_value(caller);
    reply(v1::GetConfigResponse());
  });
  context_.AddMetadata("x-request-id", std::string(129, 'x'));
  v1::GetConfigResponse response;
  ASSERT_TRUE(Get("a", &response).ok());
  const Caller caller = seen.get_future().get();
  EXPECT_EQ(caller.time_left, absl::InfiniteDuration());
  EXPECT_THAT(caller.request_id, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(Header("x-request-id"), caller.request_id);
}

// Would break if a request that does not parse reached the handler, or were answered without saying what is wrong.
TEST_F(UnaryCallTest, MalformedRequest) {
  Start([](const v1::GetConfigRequest&, const Caller&, GetReply) { ADD_FAILURE() << "the handler was called"; });
  v1::GetConfigResponse response;
  const grpc::Status status = Get("\xff", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("key"));
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
}

// Would break if a failure could not be found in the log by what it was about and who made it.
TEST_F(UnaryCallTest, LogsFailures) {
  std::mutex mu;
  std::vector<std::string> lines;
  SetUpLog(LogLevel::kInfo, LogFormat::kJson, [&](std::string_view line) {
    std::lock_guard<std::mutex> lock(mu);
    lines.emplace_back(line);
  });
  Start([](const v1::GetConfigRequest&, const Caller&, GetReply reply) { reply(absl::UnavailableError("away")); });
  context_.AddMetadata("x-request-id", "r7");
  v1::GetConfigResponse response;
  Get("payments/db", &response);
  SetUpLog(LogLevel::kError, LogFormat::kText);
  std::lock_guard<std::mutex> lock(mu);
  ASSERT_EQ(lines.size(), 1u);
  for (const char* part : {R"("level":"warn")", R"("grpc.method":"GetConfig")", R"("grpc.code":"Unavailable")",
                           R"("request_id":"r7")", R"("key":"payments/db")", R"("error":"away")"}) {
    EXPECT_THAT(lines[0], HasSubstr(part));
  }
}

// Would break if a caller that sends no message, or none that is whole, waited for an answer.
TEST_F(UnaryCallTest, NoRequest) {
  Start([](const v1::GetConfigRequest&, const Caller&, GetReply) { ADD_FAILURE() << "the handler was called"; });
  testing::H2Socket peer(server_.address());
  const int32_t id = peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/GetConfig"));
  peer.client().End(id);
  ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).ended; }));
  EXPECT_EQ(peer.client().response(id).code(), "3");
  EXPECT_EQ(peer.client().response(id).message(), "the call carries no request");
}

// Would break if a call that the front ends, before there is a request, were counted as one whose caller has gone.
TEST_F(UnaryCallTest, TooLargeARequestIsCountedAsWhatItIs) {
  Start([](const v1::GetConfigRequest&, const Caller&, GetReply) { ADD_FAILURE() << "the handler was called"; });
  testing::H2Socket peer(server_.address());
  const int32_t id = peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/GetConfig"));
  peer.client().Send(id, std::string("\0\x7f\0\0\0", 5));
  ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).closed.has_value(); }));
  EXPECT_EQ(peer.client().response(id).code(), "8");
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.Metric(R"(grpc_server_handled_total{grpc_code="ResourceExhausted",grpc_method="GetConfig",)"
                           R"(grpc_service="meshgate.v1.ConfigService",grpc_type="unary"})"),
            1);
}

// Would break if a handler that answers late held its caller beyond its deadline, or the late answer did any harm. The
// peer here keeps no time itself.
TEST_F(UnaryCallTest, DeadlineExceeded) {
  std::promise<GetReply> reply;
  Start([&reply](const v1::GetConfigRequest&, const Caller&, GetReply r) { reply.set_value(std::move(r)); });
  testing::H2Socket peer(server_.address());
  const int32_t id =
      peer.client().Begin(testing::H2Client::Call("/meshgate.v1.ConfigService/GetConfig", {{"grpc-timeout", "50m"}}));
  peer.client().Send(id, testing::H2Client::Framed(""));
  peer.client().End(id);
  std::future<GetReply> pending = reply.get_future();
  ASSERT_TRUE(peer.Until([&] { return pending.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
  EXPECT_EQ(server_.calls.open(), 1);
  scheduler_.Advance(absl::Milliseconds(50));
  ASSERT_TRUE(peer.Until([&] { return peer.client().response(id).ended; }));
  EXPECT_EQ(peer.client().response(id).code(), "4");
  pending.get()(v1::GetConfigResponse());
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.Metric(R"(grpc_server_handled_total{grpc_code="DeadlineExceeded",grpc_method="GetConfig",)"
                           R"(grpc_service="meshgate.v1.ConfigService",grpc_type="unary"})"),
            1);
}

// Would break if an answer to a caller that has gone did any harm, or that call were not counted as cancelled.
TEST_F(UnaryCallTest, CancelledBeforeItIsAnswered) {
  std::promise<GetReply> reply;
  Start([&reply](const v1::GetConfigRequest&, const Caller&, GetReply r) { reply.set_value(std::move(r)); });
  std::future<grpc::Status> status = std::async(std::launch::async, [this] {
    v1::GetConfigResponse response;
    return Get("a", &response);
  });
  GetReply pending = reply.get_future().get();
  context_.TryCancel();
  EXPECT_EQ(status.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(testing::Eventually([&] {
    return server_.Metric(R"(grpc_server_handled_total{grpc_code="Canceled",grpc_method="GetConfig",)"
                          R"(grpc_service="meshgate.v1.ConfigService",grpc_type="unary"})") == 1;
  }));
  pending(v1::GetConfigResponse());
  EXPECT_TRUE(server_.Idle());
}

// Would break if clients that compress their requests, as some do by default, were not understood.
TEST_F(UnaryCallTest, CompressedRequests) {
  Start([](const v1::GetConfigRequest& request, const Caller&, GetReply reply) {
    v1::GetConfigResponse response;
    response.mutable_entry()->set_key(request.key());
    reply(response);
  });
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::GetConfigRequest request;
    request.set_key(std::string(400, 'k'));
    v1::GetConfigResponse response;
    const grpc::Status status = server_.stub->GetConfig(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.entry().key(), request.key());
  }
}

// Would break if a value could get into the log with the name of what it belongs to.
TEST(SubjectOfTest, NamesWhatARequestIsAbout) {
  v1::PutConfigRequest put;
  put.set_key("k");
  put.set_value("secret");
  EXPECT_EQ(SubjectOf(put), "k");
  v1::WatchConfigRequest watch;
  watch.set_prefix("p/");
  EXPECT_EQ(SubjectOf(watch), "p/");
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("web");
  EXPECT_EQ(SubjectOf(registration), "web");
  EXPECT_EQ(SubjectOf(v1::ListServicesRequest()), "");
}

}  // namespace
}  // namespace meshgate::server
