// What a caller may use, over the wire.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/integration/auth_fixture.h"

namespace meshgate::testing {
namespace {

using ConfigStream = WatchStream<v1::WatchConfigResponse>;
using grpc::StatusCode;

std::unique_ptr<ConfigStream> Open(v1::ConfigService::Stub* stub, const std::string& key,
                                   const std::string& token = "") {
  return std::make_unique<ConfigStream>([&](grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!token.empty()) context->AddMetadata("x-consul-token", token);
    v1::WatchConfigRequest request;
    request.set_key(key);
    return stub->WatchConfig(context, request);
  });
}

// A caller could open streams until the process has no memory, or would never get back those that it has closed.
TEST(LimitsTest, StreamsAndTargetsAreRefusedBeyondTheLimit) {
  GatewayProcess gateway({"--limit_caller_streams=3", "--limit_caller_targets=2"});
  ASSERT_TRUE(gateway.listening());
  const auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
  auto one = Open(stub.get(), "k/1");
  ASSERT_TRUE(one->Read());
  auto two = Open(stub.get(), "k/2");
  ASSERT_TRUE(two->Read());

  const grpc::Status third_target = Open(stub.get(), "k/3")->End();
  EXPECT_EQ(third_target.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(third_target.error_details().find("TOO_MANY_TARGETS"), std::string::npos);
  EXPECT_NE(third_target.error_details().find("RetryInfo"), std::string::npos);
  EXPECT_NE(third_target.error_message().find("--limit_caller_targets"), std::string::npos);

  auto again = Open(stub.get(), "k/2");
  ASSERT_TRUE(again->Read());
  const grpc::Status fourth = Open(stub.get(), "k/2")->End();
  EXPECT_EQ(fourth.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(fourth.error_details().find("TOO_MANY_STREAMS"), std::string::npos);
  EXPECT_EQ(gateway.Metric("meshgate_limit_refusals_total{limit=\"streams\",scope=\"caller\"}"), 1);
  EXPECT_EQ(gateway.Metric("meshgate_limit_refusals_total{limit=\"targets\",scope=\"caller\"}"), 1);

  one.reset();
  EXPECT_TRUE(gateway.WaitForMetric("meshgate_watch_streams{kind=\"key\"}", 2));
  auto other = Open(stub.get(), "k/3");
  EXPECT_TRUE(other->Read());
}

// Calls would not be limited, or those that gRPC's own server answers would be a way around it.
TEST(LimitsTest, CallsAreRefusedBeyondTheRate) {
  GatewayProcess gateway({"--limit_caller_requests=1"});
  ASSERT_TRUE(gateway.listening());
  const auto channel = gateway.NewChannel();
  const auto stub = v1::ConfigService::NewStub(channel);
  const auto health = grpc::health::v1::Health::NewStub(channel);
  int refused = 0, probes_refused = 0;
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context, health_context;
    v1::GetConfigRequest request;
    request.set_key("k");
    v1::GetConfigResponse response;
    const grpc::Status status = stub->GetConfig(&context, request, &response);
    grpc::health::v1::HealthCheckRequest check;
    grpc::health::v1::HealthCheckResponse checked;
    const grpc::Status probed = health->Check(&health_context, check, &checked);
    if (probed.error_code() == StatusCode::RESOURCE_EXHAUSTED) ++probes_refused;
    if (status.error_code() != StatusCode::RESOURCE_EXHAUSTED) continue;
    ++refused;
    EXPECT_NE(status.error_details().find("TOO_MANY_REQUESTS"), std::string::npos);
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(probes_refused, 0);
}

// Streams that are opened and never used would cost their memory and count for nothing.
TEST(LimitsTest, StreamsCountBeforeTheirFirstMessage) {
  GatewayProcess gateway({"--limit_caller_streams=1"});
  ASSERT_TRUE(gateway.listening());
  grpc::GenericStub stub(gateway.NewChannel());
  grpc::CompletionQueue queue;
  grpc::ClientContext silent;
  silent.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  auto call = stub.PrepareCall(&silent, "/meshgate.v1.ConfigService/WatchConfig", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  // Its headers say that it stands.
  call->ReadInitialMetadata(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  const auto config = v1::ConfigService::NewStub(gateway.NewChannel());
  const grpc::Status status = Open(config.get(), "k")->End();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  silent.TryCancel();
  grpc::Status ended;
  call->Finish(&ended, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(ended.error_code(), StatusCode::CANCELLED);
}

// A hold that is refused would register its instance all the same, from its second message on.
TEST(LimitsTest, ARefusedHoldRegistersNothing) {
  GatewayProcess gateway({"--limit_caller_streams=1"});
  ASSERT_TRUE(gateway.listening());
  const auto channel = gateway.NewChannel();
  const auto config = v1::ConfigService::NewStub(channel);
  auto held = Open(config.get(), "k");
  ASSERT_TRUE(held->Read());
  const auto registry = v1::RegistryService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  auto hold = registry->HoldRegistration(&context);
  v1::HoldRegistrationRequest request;
  auto* instance = request.mutable_registration()->mutable_instance();
  instance->set_service("web");
  instance->set_id("web-1");
  instance->set_address("127.0.0.1");
  instance->set_port(80);
  hold->Write(request);
  hold->Write(request);
  v1::HoldRegistrationResponse response;
  EXPECT_FALSE(hold->Read(&response));
  EXPECT_EQ(hold->Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext discover_context;
  v1::DiscoverRequest discover;
  discover.set_service("web");
  discover.set_include_unhealthy(true);
  v1::DiscoverResponse found;
  ASSERT_TRUE(registry->Discover(&discover_context, discover, &found).ok());
  EXPECT_EQ(found.instances_size(), 0);
}

class TokenLimitsTest : public AuthFixture {
 protected:
  void SetUp() override { Start({"--limit_caller_streams=2", "--limit_caller_requests=20"}, {}); }
};

// Everybody behind one address would share a budget; or a caller would get a new one with each token that it makes up.
TEST_F(TokenLimitsTest, CountByTokenOnceConsulKnowsIt) {
  MakePolicy("reader", R"(key_prefix "" { policy = "read" })");
  MakeToken(Secret(1), "reader");
  MakeToken(Secret(2), "reader");
  Put("app/k", "value");
  std::vector<std::unique_ptr<ConfigStream>> open;
  const auto watch = [&](const std::string& token) {
    open.push_back(Open(config_.get(), "app/k", token));
    return open.back()->Read();
  };
  const auto knows = [&](const std::string& token) {
    grpc::ClientContext context;
    Authenticate(&context, token);
    v1::GetConfigRequest request;
    request.set_key("app/k");
    v1::GetConfigResponse response;
    return config_->GetConfig(&context, request, &response).ok();
  };
  // From here on they are known, and the address has all of its own.
  ASSERT_TRUE(knows(Secret(1)));
  ASSERT_TRUE(knows(Secret(2)));
  for (const int caller : {1, 2}) {
    EXPECT_TRUE(watch(Secret(caller)));
    EXPECT_TRUE(watch(Secret(caller)));
    EXPECT_FALSE(watch(Secret(caller)));
    EXPECT_EQ(open.back()->Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  }
  // Made-up ones have one budget together, and leave others theirs.
  int refused = 0;
  for (int i = 0; i < 200 && refused == 0; ++i) {
    grpc::ClientContext context;
    Authenticate(&context, absl::StrCat("deadbeef-0000-4000-8000-", 100'000'000'000 + i));
    v1::GetConfigRequest request;
    request.set_key("app/k");
    v1::GetConfigResponse response;
    const grpc::Status status = config_->GetConfig(&context, request, &response);
    if (status.error_code() == StatusCode::RESOURCE_EXHAUSTED) ++refused;
  }
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(knows(Secret(1)));
}

}  // namespace
}  // namespace meshgate::testing
