#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "grpcpp/create_channel.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "server/stream/stream_set.h"
#include "server/wire/grpc_server.h"
#include "server/wire/method_table.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using Method = testing::FakeBackend::Method;
using ClientStream = grpc::ClientReaderWriter<v1::HoldRegistrationRequest, v1::HoldRegistrationResponse>;

// A service on a port of its own, and a Consul that takes everything.
class HoldServer {
 public:
  explicit HoldServer(Scheduler* scheduler)
      : backend_(scheduler),
        keeper_(&backend_, scheduler, registry_.hold_reporter(), 1),
        methods_({scheduler, registry_.watch_reporter(), &streams_, &calls_}, registry_.rpc_reporter()) {
    methods_.AddHold("meshgate.v1.RegistryService", "HoldRegistration", &keeper_);
    wire::GrpcServerOptions options;
    options.front.listen = {"127.0.0.1:0"};
    options.front.threads = 2;
    auto server = wire::GrpcServer::Start(options, &methods_, {}, scheduler, registry_.watch_reporter(), &calls_);
    if (!server.ok()) abort();
    server_ = *std::move(server);
  }
  ~HoldServer() {
    streams_.EndAll(absl::UnavailableError("test over"));
    server_.reset();
    keeper_.Stop();
    stop_ = true;
    if (consul_.joinable()) consul_.join();
    backend_.Shutdown();
  }

  // From here on a thread answers each call.
  void Answer() {
    consul_ = std::thread([this] {
      while (!stop_) {
        for (Method method : {Method::kRegister, Method::kHeartbeat, Method::kDeregister}) {
          while (backend_.AnswerDone(method)) {
            if (method == Method::kDeregister) ++deregistered;
          }
        }
        // A Consul that takes a moment, and leaves the processor to others.
        absl::SleepFor(absl::Milliseconds(1));
      }
    });
  }

  std::shared_ptr<grpc::Channel> Channel(const grpc::ChannelArguments& more = {}) const {
    grpc::ChannelArguments arguments = more;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server_->addresses().at(0), grpc::InsecureChannelCredentials(), arguments);
  }

  bool Idle() { return calls_.WaitIdle(absl::Now() + absl::Seconds(30)); }
  double Metric(const std::string& series) const {
    const std::string text = registry_.Scrape();
    const size_t at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1.0 : std::stod(text.substr(at + series.size() + 2));
  }
  double Handled(const char* code) const {
    return Metric(absl::StrCat("grpc_server_handled_total{grpc_code=\"", code,
                               R"(",grpc_method="HoldRegistration",grpc_service="meshgate.v1.RegistryService",)",
                               R"(grpc_type="bidi_stream"})"));
  }
  StreamSet& streams() { return streams_; }
  testing::FakeBackend& backend() { return backend_; }
  int64_t calls() const { return calls_.open(); }
  double Sent() const {
    return Metric(R"(grpc_server_msg_sent_total{grpc_method="HoldRegistration",)"
                  R"(grpc_service="meshgate.v1.RegistryService",grpc_type="bidi_stream"})");
  }

  std::atomic<int> deregistered{0};

 private:
  testing::FakeBackend backend_;
  metrics::Registry registry_{"test", "test"};
  StreamSet streams_;
  CallTracker calls_;
  HoldKeeper keeper_;
  wire::MethodTable methods_;
  std::unique_ptr<wire::GrpcServer> server_;
  std::atomic<bool> stop_{false};
  std::thread consul_;
};

v1::HoldRegistrationRequest First(const std::string& id) {
  v1::HoldRegistrationRequest request;
  request.mutable_registration()->mutable_instance()->set_service("web");
  request.mutable_registration()->mutable_instance()->set_id(id);
  // Longer than any test.
  request.mutable_linger()->set_seconds(600);
  return request;
}

bool Eventually(const std::function<bool()>& holds) {
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (!holds()) {
    if (absl::Now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class HoldCallTest : public ::testing::Test {
 protected:
  HoldCallTest() { server_.Answer(); }

  ThreadPoolScheduler scheduler_{2, "test"};
  HoldServer server_{&scheduler_};
};

// Would break if a state did not reach the caller, or a caller that closes its side were not deregistered and told OK.
TEST_F(HoldCallTest, HoldsUntilHalfClose) {
  auto stub = v1::RegistryService::NewStub(server_.Channel());
  grpc::ClientContext context;
  auto stream = stub->HoldRegistration(&context);
  ASSERT_TRUE(stream->Write(First("web-1")));
  v1::HoldRegistrationResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), "web-1");
  EXPECT_TRUE(response.registered());
  EXPECT_EQ(server_.Metric("meshgate_held_registrations"), 1);
  EXPECT_EQ(server_.streams().size(), 1u);
  ASSERT_TRUE(stream->WritesDone());
  while (stream->Read(&response)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(server_.Idle());
  // The caller may hear the end a moment before the keeper has let go, and before Consul's thread has counted.
  EXPECT_TRUE(Eventually([&] { return server_.deregistered == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_.Metric("meshgate_held_registrations") == 0; }));
  EXPECT_EQ(server_.Handled("OK"), 1);
  EXPECT_EQ(server_.streams().size(), 0u);
}

// Would break if a caller that is killed, or cancels, were now and then taken for one that closes its side.
TEST_F(HoldCallTest, ABrokenStreamIsNeverTakenForAHalfClose) {
  constexpr int kRounds = 100;
  v1::HoldRegistrationResponse response;
  for (int i = 0; i < kRounds; ++i) {
    auto channel = server_.Channel();
    auto stub = v1::RegistryService::NewStub(channel);
    grpc::ClientContext context;
    auto stream = stub->HoldRegistration(&context);
    ASSERT_TRUE(stream->Write(First(absl::StrCat("web-", i))));
    ASSERT_TRUE(stream->Read(&response));
    // Its connection goes with the channel, in every other round.
    if (i % 2 == 0) context.TryCancel();
  }
  ASSERT_TRUE(server_.Idle());
  EXPECT_EQ(server_.deregistered, 0);
  EXPECT_EQ(server_.Handled("Canceled"), kRounds);
  EXPECT_EQ(server_.Metric("meshgate_held_registrations"), kRounds);
}

// Would break if a cancellation, a half-close, a report, a takeover or a drain that meet each other finished a call
// twice, never, or after it was gone.
TEST_F(HoldCallTest, Storm) {
  constexpr int kThreads = 4, kRounds = 50;
  std::vector<std::thread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      std::mt19937 random(t);
      auto stub = v1::RegistryService::NewStub(server_.Channel());
      for (int i = 0; i < kRounds; ++i) {
        grpc::ClientContext context;
        auto stream = stub->HoldRegistration(&context);
        v1::HoldRegistrationResponse response;
        const bool first = random() % 4 != 0 && stream->Write(First(absl::StrCat("web-", random() % 3)));
        if (first && random() % 2 == 0) stream->Read(&response);
        v1::HoldRegistrationRequest report;
        report.set_status(random() % 2 == 0 ? v1::HEALTH_STATUS_WARNING : v1::HEALTH_STATUS_MAINTENANCE);
        if (random() % 2 == 0) stream->Write(report);
        if (random() % 2 == 0) stream->WritesDone();
        context.TryCancel();
        while (stream->Read(&response)) {
        }
        stream->Finish();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.streams().size(), 0u);
}

// Would break if a drain did not tell a stream where to go, or took its instance away.
TEST_F(HoldCallTest, ADrainTellsTheStream) {
  auto stub = v1::RegistryService::NewStub(server_.Channel());
  grpc::ClientContext context;
  auto stream = stub->HoldRegistration(&context);
  ASSERT_TRUE(stream->Write(First("web-1")));
  v1::HoldRegistrationResponse response;
  ASSERT_TRUE(stream->Read(&response));
  server_.streams().EndAll(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"));
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("DRAINING"));
  EXPECT_TRUE(server_.Idle());
  EXPECT_EQ(server_.deregistered, 0);
  EXPECT_TRUE(Eventually([&] { return server_.Metric("meshgate_held_registrations") == 0; }));
}

// Would break if the older of two streams were not told that it holds nothing any more.
TEST_F(HoldCallTest, TheOlderStreamIsTold) {
  auto stub = v1::RegistryService::NewStub(server_.Channel());
  grpc::ClientContext first_context, second_context;
  auto first = stub->HoldRegistration(&first_context);
  v1::HoldRegistrationResponse response;
  ASSERT_TRUE(first->Write(First("web-1")));
  ASSERT_TRUE(first->Read(&response));
  auto second = stub->HoldRegistration(&second_context);
  ASSERT_TRUE(second->Write(First("web-1")));
  ASSERT_TRUE(second->Read(&response));
  EXPECT_TRUE(response.registered());
  EXPECT_FALSE(first->Read(&response));
  EXPECT_EQ(first->Finish().error_code(), grpc::StatusCode::ABORTED);
  second_context.TryCancel();
  second->Finish();
}

// Would break if a message that does not parse were skipped, or ended the call without saying what is wrong.
TEST_F(HoldCallTest, MalformedMessage) {
  auto stub = v1::RegistryService::NewStub(server_.Channel());
  grpc::ClientContext context;
  auto stream = stub->HoldRegistration(&context);
  v1::HoldRegistrationRequest bad = First("web-1");
  bad.mutable_registration()->mutable_instance()->add_tags("\xff");
  stream->Write(bad);
  v1::HoldRegistrationResponse response;
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("registration.instance.tags[0]: "));
}

// Would break if a caller that never reads could hold its stream for good; its instance is then lost, not kept.
TEST(HoldCallTimeoutTest, AWriteThatStallsEndsTheStream) {
  testing::ManualScheduler scheduler;
  HoldServer server(&scheduler);
  // A window of five bytes: no state fits, and nobody reads to open it.
  grpc::ChannelArguments narrow;
  narrow.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);
  narrow.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  auto stub = v1::RegistryService::NewStub(server.Channel(narrow));
  grpc::ClientContext context;
  auto stream = stub->HoldRegistration(&context);
  v1::HoldRegistrationRequest first = First(std::string(200, 'i'));
  first.mutable_linger()->set_seconds(1);
  ASSERT_TRUE(stream->Write(first));
  ASSERT_TRUE(Eventually([&] { return server.backend().AnswerDone(Method::kRegister); }));
  scheduler.RunReady();
  ASSERT_TRUE(server.backend().AnswerDone(Method::kHeartbeat));
  scheduler.RunReady();
  // On its way, five bytes of it.
  ASSERT_TRUE(Eventually([&] { return server.Sent() == 1; }));
  scheduler.Advance(absl::Minutes(2));
  EXPECT_TRUE(server.Idle());
  EXPECT_EQ(server.Handled("Unavailable"), 1);
  context.TryCancel();
  stream->Finish();
}

}  // namespace
}  // namespace meshgate::server
