// Holding, and writing to what is held, with a guard.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/watch/hub.h"
#include "server/auth/consul_authorizer.h"
#include "server/auth/guard.h"
#include "server/hold/hold_stream.h"
#include "server/service/registry_handlers.h"
#include "tests/server/hold/hold_harness.h"
#include "tests/testing/manual_executor.h"

namespace meshgate::server {
namespace {

using ::testing::ElementsAre;

class HoldPermissionTest : public HoldHarness {
 protected:
  ~HoldPermissionTest() override {
    hub_.Shutdown();
    keeper_.Stop();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  void Run() {
    while (scheduler_.RunReady() + executor_.RunReady() > 0) {
    }
  }
  // Somebody holds "web-1" of service "web".
  void HoldWeb() {
    owner_ = keeper_.Take(PlanHold(Web()), consul::Health::kPassing, absl::Seconds(10), listener_);
    Run();
    AnswerRegistration();
  }
  // The services that the oldest question is about.
  std::vector<std::string> Asked() const {
    std::vector<std::string> names;
    for (const auto& call : backend_.pending()) {
      if (call.method != Method::kAuthorize) continue;
      for (const auto& permission : call.permissions) names.push_back(permission.name);
      break;
    }
    return names;
  }
  void Permit(std::vector<bool> allowed) {
    ASSERT_TRUE(backend_.AnswerAuthorize(std::move(allowed)));
    Run();
  }
  static v1::HoldRegistrationRequest First(const std::string& service) {
    v1::HoldRegistrationRequest request;
    request.mutable_registration()->mutable_instance()->set_service(service);
    request.mutable_registration()->mutable_instance()->set_id("web-1");
    return request;
  }
  Caller CallerOf(const std::string& token) const {
    Caller caller;
    caller.identity = guard_.Identify({{"x-consul-token", token}}, "");
    return caller;
  }

  testing::ManualExecutor executor_;
  consul::WatchReporter watches_;
  metrics::AuthReporter checks_;
  consul::Hub hub_{&backend_, &scheduler_, &watches_, consul::HubOptions()};
  auth::Guard guard_{
      &hub_, &scheduler_,
      std::make_unique<auth::ConsulAuthorizer>(&backend_, &scheduler_, &checks_, auth::ConsulAuthorizerOptions()),
      auth::GuardOptions(), /*seed=*/1};
  RegistryHandlers handlers_{&backend_, &hub_, &keeper_, &guard_};
  std::shared_ptr<IgnoringListener> listener_ = std::make_shared<IgnoringListener>();
  std::unique_ptr<Hold> owner_;
};

// The answer counts for what was held when it was asked for. Would break if an id that went to another service in the
// meantime were taken on its account.
TEST_F(HoldPermissionTest, AnAnswerIsNotForWhatIsHeldLater) {
  testing::TakingStream transport(&executor_, &scheduler_, &watches_, /*room=*/0);
  auto stream = std::make_shared<HoldStream>(transport.outbox(), &scheduler_, &keeper_, &guard_,
                                             guard_.Identify({{"x-consul-token", "thief"}}, ""));
  stream->Open();
  stream->OnMessage(First("else"));
  Run();
  EXPECT_THAT(Asked(), ElementsAre("else"));
  Permit({true});
  HoldWeb();
  transport.GiveRoom(1);
  Run();
  EXPECT_FALSE(listener_->ended.has_value()) << *listener_->ended;
  EXPECT_THAT(Asked(), ElementsAre("else", "web"));
  Permit({true, false});
  ASSERT_TRUE(transport.end().has_value());
  EXPECT_EQ(transport.end()->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(listener_->ended.has_value());
  stream->OnEnd(*transport.end());
}

// And with the permission for both it is taken.
TEST_F(HoldPermissionTest, WhoMayWriteBothTakesIt) {
  HoldWeb();
  testing::TakingStream transport(&executor_, &scheduler_, &watches_);
  auto stream = std::make_shared<HoldStream>(transport.outbox(), &scheduler_, &keeper_, &guard_,
                                             guard_.Identify({{"x-consul-token", "both"}}, ""));
  stream->Open();
  stream->OnMessage(First("else"));
  Run();
  Permit({true, true});
  ASSERT_TRUE(listener_->ended.has_value());
  EXPECT_EQ(ReasonOf(*listener_->ended), reason::kTakenOver);
  stream->OnEnd(absl::CancelledError("test over"));
}

// Would break if callers without a permission could hold up the heartbeats of what others hold.
TEST_F(HoldPermissionTest, WritesOfStrangersDoNotComeBetween) {
  HoldWeb();
  std::vector<absl::Status> replied;
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("else");
  registration.mutable_instance()->set_id("web-1");
  handlers_.Register(registration, CallerOf("stranger"), [&](const absl::StatusOr<v1::RegisterResponse>& response) {
    replied.push_back(response.status());
  });
  Run();
  EXPECT_EQ(backend_.pending(Method::kRegister), 0u);
  EXPECT_THAT(Asked(), ElementsAre("else", "web"));
  Permit({true, false});
  v1::DeregisterRequest request;
  request.set_id("web-1");
  const auto deregister = [&] {
    handlers_.Deregister(request, CallerOf("stranger"), [&](const absl::StatusOr<v1::DeregisterResponse>& response) {
      replied.push_back(response.status());
    });
    Run();
  };
  deregister();
  EXPECT_EQ(backend_.pending(Method::kDeregister), 0u);
  EXPECT_THAT(Asked(), ElementsAre("web"));
  Permit({false});
  ASSERT_EQ(replied.size(), 2u);
  for (const absl::Status& status : replied) EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);

  deregister();
  Permit({true});
  ASSERT_EQ(backend_.pending(Method::kDeregister), 1u);
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(replied.back(), absl::OkStatus());
}

// Would break if those who may could hold them up for as long as they like.
TEST_F(HoldPermissionTest, WritesThatWaitForAHoldAreBounded) {
  HoldWeb();
  struct Counts {
    size_t done = 0, refused = 0;
  };
  // Those that are never let in are answered when all of it ends.
  const auto counts = std::make_shared<Counts>();
  for (int i = 0; i < 100; ++i) {
    keeper_.Deregister("web-1", consul::WriteOptions(), [counts](const absl::Status& status) {
      ++counts->done;
      if (status.code() == absl::StatusCode::kResourceExhausted) ++counts->refused;
    });
  }
  EXPECT_EQ(counts->done, 0u) << "answered inside the call";
  Run();
  EXPECT_EQ(backend_.pending(Method::kDeregister), 1u);
  EXPECT_GE(counts->refused, 80u);
  EXPECT_EQ(counts->done, counts->refused);
}

}  // namespace
}  // namespace meshgate::server
