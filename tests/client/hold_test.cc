#include "client/hold.h"

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <string>
#include <vector>

#include "tests/client/fake_gateway.h"

namespace meshgate::client {
namespace {

using ::meshgate::testing::FakeGateway;
using ::meshgate::testing::GatewayError;

v1::HoldRegistrationResponse State(bool registered) {
  v1::HoldRegistrationResponse response;
  response.set_id("web-1");
  response.set_registered(registered);
  return response;
}

class Listener final : public Hold::Listener {
 public:
  void OnState(const v1::HoldRegistrationResponse& state) override {
    states.push_back(state.registered());
    if (on_state) on_state();
  }
  void OnDisconnected(const absl::Status& status, absl::Duration) override { lost.push_back(status); }

  std::vector<bool> states;
  std::vector<absl::Status> lost;
  std::function<void()> on_state;
};

class HoldTest : public ::testing::Test {
 protected:
  static Client Make(const FakeGateway& gateway) {
    ClientOptions options;
    options.endpoint = gateway.endpoint();
    return Client(options);
  }
  static v1::RegisterRequest Web() {
    v1::RegisterRequest request;
    request.mutable_instance()->set_service("web");
    return request;
  }
  static HoldOptions Quick() {
    HoldOptions options;
    options.backoff.initial = absl::Milliseconds(1);
    return options;
  }

  FakeGateway gateway_;
  Client client_ = Make(gateway_);
  Cancellation cancellation_;
  Listener listener_;
};

// Would break if a program that ends left its instance to the linger, or ended before it is gone.
TEST_F(HoldTest, CancellationSaysGoodbye) {
  gateway_.registry().holds = {{{State(false), State(true)}, grpc::Status::OK, true}};
  HoldOptions options;
  options.linger = absl::Milliseconds(2500);
  Hold hold(&client_, Web(), options);
  listener_.on_state = [this] {
    if (listener_.states.size() == 2) cancellation_.Cancel();
  };
  EXPECT_EQ(hold.Run(&listener_, &cancellation_), absl::OkStatus());
  EXPECT_EQ(listener_.states, (std::vector<bool>{false, true}));
  EXPECT_EQ(gateway_.registry().half_closes(), 1);
  const auto requests = gateway_.registry().hold_requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].registration().instance().service(), "web");
  EXPECT_EQ(requests[0].status(), v1::HEALTH_STATUS_PASSING);
  EXPECT_EQ(requests[0].linger().seconds(), 2);
  EXPECT_EQ(requests[0].linger().nanos(), 500'000'000);
}

// Would break if a gateway that restarts lost its callers' instances, or forgot what they had reported.
TEST_F(HoldTest, ComesBackWithTheLatestHealth) {
  gateway_.registry().holds = {
      {{State(true)}, GatewayError(grpc::StatusCode::UNAVAILABLE, "DRAINING", "draining")},
      {{State(true)}, grpc::Status::OK, true},
  };
  Hold hold(&client_, Web(), Quick());
  listener_.on_state = [&] {
    if (listener_.states.size() == 1) hold.Report(v1::HEALTH_STATUS_WARNING);
  };
  auto ended = std::async(std::launch::async, [&] { return hold.Run(&listener_, &cancellation_); });
  // The second stream's first message; on the first one the report came before the end, or too late.
  while (true) {
    const auto requests = gateway_.registry().hold_requests();
    if (requests.size() > 1 && requests.back().has_registration()) break;
    ASSERT_TRUE(gateway_.registry().WaitForHoldRequests(requests.size() + 1));
  }
  EXPECT_EQ(gateway_.registry().hold_requests().back().status(), v1::HEALTH_STATUS_WARNING);
  const size_t before = gateway_.registry().hold_requests().size();
  hold.Report(v1::HEALTH_STATUS_CRITICAL);
  ASSERT_TRUE(gateway_.registry().WaitForHoldRequests(before + 1));
  const auto last = gateway_.registry().hold_requests().back();
  EXPECT_EQ(last.status(), v1::HEALTH_STATUS_CRITICAL);
  EXPECT_FALSE(last.has_registration());
  EXPECT_FALSE(last.has_linger());
  cancellation_.Cancel();
  EXPECT_EQ(ended.get(), absl::OkStatus());
  ASSERT_EQ(listener_.lost.size(), 1u);
  EXPECT_EQ(listener_.lost[0].code(), absl::StatusCode::kUnavailable);
}

// Would break if two programs with the same id took it from each other for ever, or a bad registration were tried
// again and again.
TEST_F(HoldTest, SomeEndsAreForGood) {
  for (const auto code : {grpc::StatusCode::ABORTED, grpc::StatusCode::INVALID_ARGUMENT}) {
    gateway_.registry().holds = {{{State(true)}, GatewayError(code, "WHY", "no")}};
    Hold hold(&client_, Web(), Quick());
    EXPECT_EQ(static_cast<int>(hold.Run(&listener_, nullptr).code()), static_cast<int>(code));
  }
  EXPECT_TRUE(listener_.lost.empty());
}

// Would break if a gateway that does not answer kept a program from ending.
TEST_F(HoldTest, GoodbyeTakesNoLongerThanItMay) {
  gateway_.registry().holds = {{{State(true)}, grpc::Status::OK, true}};
  HoldOptions options;
  options.goodbye = absl::ZeroDuration();
  Hold hold(&client_, Web(), options);
  listener_.on_state = [this] { cancellation_.Cancel(); };
  const absl::Status ended = hold.Run(&listener_, &cancellation_);
  // It may answer all the same.
  EXPECT_TRUE(ended.ok() || ended.code() == absl::StatusCode::kCancelled) << ended;
}

// Would break if a program could not be stopped while there is no gateway.
TEST_F(HoldTest, EndsWithoutAGateway) {
  Hold hold(&client_, Web(), Quick());
  cancellation_.Cancel();
  EXPECT_EQ(hold.Run(&listener_, &cancellation_).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace meshgate::client
