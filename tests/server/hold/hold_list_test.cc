// Holding, and writing to what is held, where the gateway's own list says who may.
#include <gmock/gmock.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/watch/hub.h"
#include "server/auth/allow_list_file.h"
#include "server/auth/guard.h"
#include "server/auth/list_authorizer.h"
#include "server/hold/hold_stream.h"
#include "server/service/registry_handlers.h"
#include "tests/server/auth/fake_directory.h"
#include "tests/server/hold/hold_harness.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::server {
namespace {

using ::testing::ElementsAre;

constexpr char kBoth[] = "identities: {web: {register: {services: [web]}}, db: {register: {services: [db]}}}";
constexpr char kDbAlone[] = "identities: {db: {register: {services: [db]}}}";

class HoldListTest : public HoldHarness {
 protected:
  struct Stream {
    std::unique_ptr<testing::TakingStream> transport;
    std::shared_ptr<HoldStream> stream;

    const std::optional<absl::Status>& end() const { return transport->end(); }
    // As the transport has it once it knows of the end.
    void Finish() { stream->OnEnd(*transport->end()); }
  };

  HoldListTest() {
    { std::ofstream(path_) << kBoth; }
    auto list = auth::AllowListFile::Open(path_, &scheduler_, &list_reporter_);
    EXPECT_TRUE(list.ok()) << list.status();
    guard_ = std::make_unique<auth::Guard>(
        &hub_, &scheduler_, std::make_unique<auth::ListAuthorizer>(*list, &directory_, &scheduler_, &checks_),
        auth::GuardOptions(), /*seed=*/1);
    (*list)->SetListener([this](const auth::AllowList& before, const auth::AllowList& now) {
      guard_->RecheckAll(
          [&](const auth::Identity& identity) { return !auth::SameRules(before, now, identity.name()); });
    });
    list_ = *std::move(list);
    handlers_ = std::make_unique<RegistryHandlers>(&backend_, &hub_, &keeper_, guard_.get());
  }
  ~HoldListTest() override {
    hub_.Shutdown();
    keeper_.Stop();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  void Run() {
    while (scheduler_.RunReady() + executor_.RunReady() > 0) {
    }
  }
  // Heartbeats are answered meanwhile.
  void Live(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(100)) {
      scheduler_.Advance(absl::Milliseconds(100));
      Run();
      while (Answer(Method::kHeartbeat)) {
      }
    }
  }
  // Used within these two seconds.
  void List(const std::string& text) {
    { std::ofstream(path_) << text; }
    Live(absl::Milliseconds(2100));
  }
  auth::SharedIdentity Who(const std::string& name) { return guard_->Identify({}, name); }
  Caller CallerOf(const std::string& name) {
    Caller caller;
    caller.identity = Who(name);
    return caller;
  }
  // Holds "id" of the service that has the caller's name.
  Stream Hold(const std::string& name, int room = testing::TakingStream::kPlenty,
              absl::Duration linger = absl::Minutes(10)) {
    Stream made;
    made.transport = std::make_unique<testing::TakingStream>(&executor_, &scheduler_, &watches_, room);
    made.stream =
        std::make_shared<HoldStream>(made.transport->outbox(), &scheduler_, &keeper_, guard_.get(), Who(name));
    made.stream->Open();
    v1::HoldRegistrationRequest request;
    request.mutable_registration()->mutable_instance()->set_service(name);
    request.mutable_registration()->mutable_instance()->set_id("id");
    request.mutable_linger()->set_seconds(absl::ToInt64Seconds(linger));
    made.stream->OnMessage(request);
    Run();
    return made;
  }
  Stream Registered(absl::Duration linger = absl::Minutes(10)) {
    Stream made = Hold("web", testing::TakingStream::kPlenty, linger);
    AnswerRegistration();
    Run();
    return made;
  }
  size_t Sent() const { return Calls(Method::kHeartbeat) + Calls(Method::kRegister); }

  testing::ManualExecutor executor_;
  testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/list.yaml";
  consul::WatchReporter watches_;
  metrics::AuthReporter checks_;
  metrics::AllowListReporter list_reporter_;
  auth::FakeDirectory directory_{&scheduler_};
  consul::Hub hub_{&backend_, &scheduler_, &watches_, consul::HubOptions()};
  std::shared_ptr<auth::AllowListFile> list_;
  std::unique_ptr<auth::Guard> guard_;
  std::unique_ptr<RegistryHandlers> handlers_;
};

// A stream that is not read keeps its answer. Would break if it took on that account an id that somebody else has
// registered meanwhile.
TEST_F(HoldListTest, AnOldAnswerIsAskedForAnew) {
  Stream thief = Hold("web", /*room=*/0);
  EXPECT_THAT(directory_.asked, ElementsAre("id"));
  directory_.services["id"] = "db";
  scheduler_.Advance(absl::Minutes(1));
  Run();
  thief.transport->GiveRoom(1);
  Run();
  EXPECT_THAT(directory_.asked, ElementsAre("id", "id"));
  ASSERT_TRUE(thief.end().has_value());
  EXPECT_EQ(thief.end()->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Sent(), 0u);
  thief.Finish();
}

// Would break if whoever may not register any more was kept registered by its lost stream, up to ten minutes.
TEST_F(HoldListTest, WhatLingersIsNotKeptForWhoeverIsRemoved) {
  Stream lost = Registered();
  lost.stream->OnEnd(absl::CancelledError("cut off"));
  lost = {};
  Live(absl::Seconds(30));
  EXPECT_EQ(Calls(Method::kDeregister), 0u) << "it lingers";
  List(kDbAlone);
  const size_t before = Sent();
  Live(kMaxHeartbeatInterval + kRevokedLinger + absl::Seconds(1));
  EXPECT_EQ(Sent(), before) << "nothing is written for it any more";
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a list that was cut short for a moment deregistered what is healthy, or a stream that comes back
// found it without heartbeats.
TEST_F(HoldListTest, WhatIsGivenBackSoonIsStillThere) {
  Stream first = Registered();
  List(kDbAlone);
  ASSERT_TRUE(first.end().has_value());
  EXPECT_EQ(ReasonOf(*first.end()), reason::kIdentityNotListed);
  first.Finish();
  const size_t before = Sent();
  Live(absl::Seconds(5));
  EXPECT_EQ(Sent(), before);
  List(kBoth);
  directory_.services["id"] = "web";
  Stream second = Hold("web");
  Live(absl::Minutes(1));
  EXPECT_FALSE(second.end().has_value()) << *second.end();
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  EXPECT_EQ(Calls(Method::kRegister), 1u) << "it was registered all the time";
  EXPECT_GT(Sent(), before + 5);

  List(kDbAlone);
  ASSERT_TRUE(second.end().has_value());
  second.Finish();
  Live(kRevokedLinger + absl::Seconds(1));
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a caller was told that it has no permission where the gateway's own token has none.
TEST_F(HoldListTest, WhatTheGatewaysTokenMayNotIsNotTheCallers) {
  Stream refused = Hold("web");
  ASSERT_TRUE(
      Answer(Method::kRegister, MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no")));
  Run();
  ASSERT_TRUE(refused.end().has_value());
  EXPECT_EQ(refused.end()->code(), absl::StatusCode::kUnavailable);
  refused.Finish();
}

// Would break if a write that was permitted for what was there, or for nothing, hit what another service's stream has
// taken in between.
TEST_F(HoldListTest, AWriteIsForWhatWasAskedAbout) {
  std::vector<absl::Status> replied;
  v1::DeregisterRequest request;
  request.set_id("id");
  directory_.services["id"] = "web";
  handlers_->Deregister(request, CallerOf("web"), [&](const absl::StatusOr<v1::DeregisterResponse>& response) {
    replied.push_back(response.status());
  });
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("web");
  registration.mutable_instance()->set_id("id");
  handlers_->Register(registration, CallerOf("web"), [&](const absl::StatusOr<v1::RegisterResponse>& response) {
    replied.push_back(response.status());
  });
  // Before the answers come.
  const auto owner = std::make_shared<IgnoringListener>();
  consul::Registration db = Web("id");
  db.service = "db";
  const auto hold = keeper_.Take(PlanHold(db), consul::Health::kPassing, absl::Seconds(10), owner);
  Run();
  AnswerRegistration();
  Run();
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  EXPECT_EQ(Calls(Method::kRegister), 1u) << "db's own";
  ASSERT_EQ(replied.size(), 2u);
  for (const absl::Status& status : replied) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_EQ(ReasonOf(status), reason::kTakenOver);
  }
}

}  // namespace
}  // namespace meshgate::server
