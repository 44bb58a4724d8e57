#include "server/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/server/http/raw_client.h"
#include "tests/testing/fake_backend.h"

namespace meshgate::server {
namespace {

using grpc::health::v1::HealthCheckResponse;
using testing::FakeBackend;
using ::testing::HasSubstr;
using testing::RawClient;
using Method = FakeBackend::Method;

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    options_.grpc_listen = {"127.0.0.1:0"};
    options_.http_listen = "127.0.0.1:0";
    options_.drain_delay = absl::ZeroDuration();
    options_.drain_timeout = absl::Seconds(20);
    options_.log_level = LogLevel::kError;
  }

  void Start() {
    auto gateway = Gateway::Start(options_, [this](const Options&, Scheduler* scheduler, consul::BackendReporter*) {
      auto backend = std::make_unique<FakeBackend>(scheduler);
      backend_ = backend.get();
      return absl::StatusOr<std::unique_ptr<consul::Backend>>(std::move(backend));
    });
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    channel_ = grpc::CreateChannel(gateway_->grpc_addresses().at(0), grpc::InsecureChannelCredentials());
    stub_ = v1::ConfigService::NewStub(channel_);
  }

  RawClient::Response Http(const std::string& path) { return RawClient(gateway_->http_address()).Get(path); }

  // Asks again until the answer is the one that is waited for; bounded.
  bool BecomesReady(int status) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (absl::Now() < end) {
      if (Http("/readyz").status == status) return true;
    }
    return false;
  }

  // Waits for a call to the backend and answers it.
  template <typename Answer>
  bool Eventually(Answer answer) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (absl::Now() < end) {
      if (answer()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  Options options_;
  FakeBackend* backend_ = nullptr;
  std::unique_ptr<Gateway> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ConfigService::Stub> stub_;
};

// Would break if a gateway that can serve nothing were sent traffic, or one that can were not.
TEST_F(GatewayTest, ReadinessFollowsTheStoreAndWhatIsKnown) {
  Start();
  EXPECT_EQ(Http("/livez").status, 200);
  EXPECT_THAT(Http("/readyz").body, HasSubstr("has not answered yet"));
  ASSERT_TRUE(Eventually([&] { return backend_->Fail(Method::kCheckHealth, absl::UnavailableError("refused")); }));
  EXPECT_TRUE(BecomesReady(503));
  ASSERT_TRUE(Eventually([&] { return backend_->AnswerHealth({true, absl::ZeroDuration()}); }));
  EXPECT_TRUE(BecomesReady(200));

  // A state is known now, so that losing the store does not make the gateway useless.
  grpc::ClientContext context;
  v1::WatchConfigRequest request;
  request.set_key("a");
  auto reader = stub_->WatchConfig(&context, request);
  ASSERT_TRUE(Eventually([&] { return backend_->AnswerEntries(Method::kReadKey, {}, 7); }));
  v1::WatchConfigResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(Eventually([&] { return backend_->Fail(Method::kCheckHealth, absl::UnavailableError("gone")); }));
  ASSERT_TRUE(Eventually([&] { return Http("/metrics").body.find("meshgate_consul_up 0") != std::string::npos; }));
  EXPECT_EQ(Http("/readyz").status, 200);
  EXPECT_THAT(Http("/readyz").body, HasSubstr("stale"));
  context.TryCancel();
}

// Would break if the process did not say what it is and does.
TEST_F(GatewayTest, ExposesMetrics) {
  Start();
  const auto metrics = Http("/metrics");
  EXPECT_THAT(metrics.head, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(metrics.body, HasSubstr("meshgate_build_info{backend=\"embedded\",version=\""));
  for (const char* method : {"GetConfig", "WatchConfig", "CommitConfig", "HoldRegistration", "WatchService"}) {
    EXPECT_THAT(metrics.body, HasSubstr(std::string("grpc_method=\"") + method + "\""));
  }
}

// Would break if a stop lost a stream's last word, kept a caller waiting for the store, or took no notice of time.
TEST_F(GatewayTest, DrainsWithinItsTime) {
  options_.drain_timeout = absl::Seconds(2);
  Start();
  ASSERT_TRUE(Eventually([&] { return backend_->AnswerHealth({true, absl::ZeroDuration()}); }));
  grpc::ClientContext watch_context, get_context, health_context;
  v1::WatchConfigRequest watch;
  watch.set_key("a");
  auto reader = stub_->WatchConfig(&watch_context, watch);
  ASSERT_TRUE(Eventually([&] { return backend_->AnswerEntries(Method::kReadKey, {}, 7); }));
  v1::WatchConfigResponse response;
  ASSERT_TRUE(reader->Read(&response));
  auto health = grpc::health::v1::Health::NewStub(channel_);
  auto health_watch = health->Watch(&health_context, grpc::health::v1::HealthCheckRequest());
  HealthCheckResponse serving;
  ASSERT_TRUE(health_watch->Read(&serving));
  EXPECT_EQ(serving.status(), HealthCheckResponse::SERVING);
  // A call that the store never answers.
  std::future<grpc::Status> get = std::async(std::launch::async, [&] {
    v1::GetConfigRequest request;
    request.set_key("b");
    request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
    v1::GetConfigResponse got;
    return stub_->GetConfig(&get_context, request, &got);
  });
  ASSERT_TRUE(Eventually([&] { return backend_->pending(Method::kReadKey) == 2; }));

  const absl::Time began = absl::Now();
  gateway_->Drain();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(ended.error_details(), HasSubstr("DRAINING"));
  EXPECT_THAT(ended.error_details(), HasSubstr("RetryInfo"));
  EXPECT_FALSE(get.get().ok());
  EXPECT_TRUE(health_watch->Read(&serving));
  EXPECT_EQ(serving.status(), HealthCheckResponse::NOT_SERVING);
  health_watch->Finish();
  gateway_->Drain();
}

// Would break if a stop with nothing to wait for took long, which every restart would pay for.
TEST_F(GatewayTest, AnIdleStopIsQuick) {
  Start();
  const absl::Time began = absl::Now();
  gateway_.reset();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
}

// Would break if probes did not fail during the delay that is meant for them to be seen.
TEST_F(GatewayTest, ProbesFailWhileDraining) {
  options_.drain_delay = absl::Seconds(2);
  Start();
  ASSERT_TRUE(Eventually([&] { return backend_->AnswerHealth({true, absl::ZeroDuration()}); }));
  ASSERT_TRUE(BecomesReady(200));
  std::thread stopping([this] { gateway_->Drain(); });
  EXPECT_TRUE(BecomesReady(503));
  EXPECT_THAT(Http("/readyz").body, HasSubstr("draining"));
  EXPECT_EQ(Http("/livez").status, 200);
  grpc::ClientContext context;
  HealthCheckResponse response;
  auto stub = grpc::health::v1::Health::NewStub(channel_);
  EXPECT_TRUE(stub->Check(&context, grpc::health::v1::HealthCheckRequest(), &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  stopping.join();
}

// Would break if a start that fails half-way hung, crashed or did not say which option to change.
TEST_F(GatewayTest, FailedStarts) {
  Start();
  Options second = options_;
  second.grpc_listen = gateway_->grpc_addresses();
  const auto fake = [](const Options&, Scheduler* scheduler, consul::BackendReporter*) {
    return absl::StatusOr<std::unique_ptr<consul::Backend>>(std::make_unique<FakeBackend>(scheduler));
  };
  std::string said;
  SetUpLog(LogLevel::kInfo, LogFormat::kText, [&said](std::string_view line) { said += line; });
  EXPECT_THAT(std::string(Gateway::Start(second, fake).status().message()), HasSubstr("--grpc_listen"));
  SetUpLog(LogLevel::kError, LogFormat::kText);
  // The error is the one line that its reader has to understand.
  EXPECT_EQ(said, "");
  second = options_;
  second.http_listen = gateway_->http_address();
  EXPECT_THAT(std::string(Gateway::Start(second, fake).status().message()), HasSubstr("--http_listen"));
  const auto none = [](const Options&, Scheduler*, consul::BackendReporter*) {
    return absl::StatusOr<std::unique_ptr<consul::Backend>>(absl::FailedPreconditionError("locked"));
  };
  EXPECT_EQ(Gateway::Start(options_, none).status().message(), "locked");
}

}  // namespace
}  // namespace meshgate::server
