#include "server/hold/hold_stream.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/hold/hold_harness.h"
#include "tests/testing/manual_executor.h"

namespace meshgate::server {
namespace {

using consul::Health;
using ::testing::ElementsAre;

v1::HoldRegistrationRequest First() {
  v1::HoldRegistrationRequest request;
  request.mutable_registration()->mutable_instance()->set_service("web");
  request.mutable_registration()->mutable_instance()->set_id("web-1");
  return request;
}

v1::HoldRegistrationRequest Status(v1::HealthStatus status) {
  v1::HoldRegistrationRequest request;
  request.set_status(status);
  return request;
}

class HoldStreamTest : public HoldHarness {
 protected:
  HoldStreamTest() { stream_->Open(); }
  ~HoldStreamTest() override { OnEnd(absl::CancelledError("test over")); }

  // Lets what follows happen, on the transport's thread, too.
  void Run() {
    scheduler_.RunReady();
    executor_.RunReady();
    if (transport_.end().has_value()) OnEnd(*transport_.end());
  }
  bool Answer(Method method, absl::Status status = absl::OkStatus()) {
    const bool answered = HoldHarness::Answer(method, std::move(status));
    Run();
    return answered;
  }
  void AnswerRegistration() {
    ASSERT_TRUE(Answer(Method::kRegister));
    ASSERT_TRUE(Answer(Method::kHeartbeat));
  }
  void Advance(absl::Duration by) {
    scheduler_.Advance(by);
    Run();
  }
  void Say(const v1::HoldRegistrationRequest& request) {
    stream_->OnMessage(request);
    Run();
  }
  void HalfClose() {
    stream_->OnHalfClose();
    Run();
  }
  // As the transport does, once: the stream has ended, by its outbox or because its caller is gone.
  void OnEnd(const absl::Status& status) {
    if (std::exchange(over_, true)) return;
    stream_->OnEnd(status);
    transport_.Close();
  }
  void Cancel() { OnEnd(absl::CancelledError("the caller has gone")); }

  // What the caller has been told, the oldest first.
  std::vector<bool> Told() const {
    std::vector<bool> told;
    for (const auto& bytes : transport_.taken()) {
      v1::HoldRegistrationResponse response;
      EXPECT_TRUE(response.ParseFromString(bytes));
      EXPECT_EQ(response.id(), "web-1");
      told.push_back(response.registered());
    }
    return told;
  }
  void BeRegistered() {
    Say(First());
    AnswerRegistration();
    ASSERT_THAT(Told(), ElementsAre(true));
  }
  void ExpectEnd(absl::StatusCode code, const std::string& begin) {
    ASSERT_TRUE(transport_.end().has_value());
    EXPECT_EQ(transport_.end()->code(), code) << *transport_.end();
    EXPECT_EQ(transport_.end()->message().substr(0, begin.size()), begin);
  }

  testing::ManualExecutor executor_;
  consul::WatchReporter unreported_;
  testing::TakingStream transport_{&executor_, &scheduler_, &unreported_};
  std::shared_ptr<HoldStream> stream_ = std::make_shared<HoldStream>(transport_.outbox(), &scheduler_, &keeper_);
  bool over_ = false;
};

// Would break if a caller were not told that it is registered, or what heartbeats say were not what it reports.
TEST_F(HoldStreamTest, RegistersAndReports) {
  BeRegistered();
  EXPECT_EQ(stream_->id(), "web-1");
  Say(Status(v1::HEALTH_STATUS_CRITICAL));
  EXPECT_EQ(LastCall().health, Health::kCritical);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  Say(Status(v1::HEALTH_STATUS_UNSPECIFIED));
  EXPECT_EQ(LastCall().health, Health::kPassing);
  EXPECT_THAT(Told(), ElementsAre(true));
}

// Would break if a held instance had Consul's agent look where a registered one must not.
TEST_F(HoldStreamTest, ChecksLeadToTheInstanceAlone) {
  v1::HoldRegistrationRequest request = First();
  v1::HealthCheck* check = request.mutable_registration()->add_checks();
  check->mutable_interval()->set_seconds(10);
  check->mutable_tcp()->set_address("169.254.169.254:80");
  Say(request);
  ExpectEnd(absl::StatusCode::kInvalidArgument, "registration.checks[0].tcp.address: 169.254.169.254 is a link-local");
  EXPECT_EQ(ReasonOf(*transport_.end()), reason::kCheckNotAllowed);
  EXPECT_EQ(backend_.calls().size(), 0u);
}

// Would break if a reader that is slow were told every state that it has missed, or an old one last.
TEST_F(HoldStreamTest, ASlowReaderGetsTheLatestState) {
  transport_.GiveRoom(1);
  Say(First());
  AnswerRegistration();
  for (int i = 0; i < 3; ++i) {
    Say(Status(i % 2 == 0 ? v1::HEALTH_STATUS_WARNING : v1::HEALTH_STATUS_PASSING));
    ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
    AnswerRegistration();
  }
  Say(Status(v1::HEALTH_STATUS_CRITICAL));
  ASSERT_TRUE(Answer(Method::kHeartbeat, ConsulIsAway()));
  EXPECT_THAT(Told(), ElementsAre(true));
  transport_.GiveRoom(2);
  EXPECT_THAT(Told(), ElementsAre(true, false));
}

// Would break if a reader that is back were told what it knows already.
TEST_F(HoldStreamTest, AStateThatPassedIsNotTold) {
  transport_.GiveRoom(1);
  Say(First());
  AnswerRegistration();
  Say(Status(v1::HEALTH_STATUS_WARNING));
  ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
  AnswerRegistration();
  transport_.GiveRoom(2);
  EXPECT_THAT(Told(), ElementsAre(true));
}

// Would break if a caller that closes its side stayed registered, or was told OK before it is gone.
TEST_F(HoldStreamTest, HalfCloseDeregisters) {
  BeRegistered();
  HalfClose();
  ASSERT_EQ(backend_.pending(Method::kDeregister), 1u);
  EXPECT_FALSE(transport_.end().has_value());
  ASSERT_TRUE(Answer(Method::kDeregister));
  ExpectEnd(absl::StatusCode::kOk, "");
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a caller that does not read, and so has no room, could not say goodbye.
TEST_F(HoldStreamTest, HalfCloseWithoutRoom) {
  transport_.GiveRoom(0);
  Say(First());
  AnswerRegistration();
  HalfClose();
  ASSERT_TRUE(Answer(Method::kDeregister));
  ExpectEnd(absl::StatusCode::kOk, "");
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a client that was killed were taken for one that says goodbye: its instance would be gone at once,
// and flap when it comes back.
TEST_F(HoldStreamTest, ABrokenStreamIsLostNotReleased) {
  BeRegistered();
  Cancel();
  // A transport that tells too late.
  stream_->OnHalfClose();
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  scheduler_.Advance(kDefaultLinger + absl::Milliseconds(1));
  while (Answer(Method::kHeartbeat)) {
  }
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a caller that says goodbye before Consul has answered waited for Consul.
TEST_F(HoldStreamTest, HalfCloseBeforeAnyState) {
  Say(First());
  ASSERT_TRUE(Answer(Method::kRegister, ConsulIsAway()));
  EXPECT_THAT(Told(), ElementsAre(false));
  HalfClose();
  ASSERT_TRUE(Answer(Method::kDeregister, ConsulIsAway()));
  ExpectEnd(absl::StatusCode::kUnavailable, "Consul is away");
}

// Would break if the caller's own linger were not kept to.
TEST_F(HoldStreamTest, LosesItAfterItsLinger) {
  v1::HoldRegistrationRequest request = First();
  request.mutable_linger()->set_seconds(2);
  Say(request);
  AnswerRegistration();
  Cancel();
  Advance(absl::Milliseconds(1900));
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  while (Answer(Method::kHeartbeat)) {
  }
  Advance(absl::Milliseconds(200));
  while (Answer(Method::kHeartbeat)) {
  }
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a gateway that drains took its callers' instances from the catalog.
TEST_F(HoldStreamTest, ADrainLeavesItRegistered) {
  BeRegistered();
  transport_.outbox()->End(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"));
  Run();
  ExpectEnd(absl::StatusCode::kUnavailable, "draining");
  stream_->OnHalfClose();
  Advance(absl::Minutes(1));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a drain kept the instance of a caller that has just said that it is done.
TEST_F(HoldStreamTest, ADrainAfterAHalfCloseDeregisters) {
  BeRegistered();
  HalfClose();
  transport_.outbox()->End(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"));
  Run();
  ExpectEnd(absl::StatusCode::kUnavailable, "draining");
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a stream that sends nothing, or nothing of use, held anything for long.
TEST_F(HoldStreamTest, TheFirstMessageIsDue) {
  Advance(kFirstMessageWithin - absl::Milliseconds(1));
  EXPECT_FALSE(transport_.end().has_value());
  Advance(absl::Milliseconds(2));
  ExpectEnd(absl::StatusCode::kDeadlineExceeded, "the first message did not come");
  Say(First());
  EXPECT_EQ(Pending(), 0u);
}

// Would break if a stream that ends without a message were taken for one that may go.
TEST_F(HoldStreamTest, HalfCloseWithoutAMessage) {
  HalfClose();
  ExpectEnd(absl::StatusCode::kInvalidArgument, "registration: ");
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// Would break if a later message could change what is registered without anybody having checked it.
TEST_F(HoldStreamTest, LaterMessagesReportHealthAlone) {
  BeRegistered();
  Say(First());
  ExpectEnd(absl::StatusCode::kInvalidArgument, "registration: ");
  EXPECT_EQ(reporter_.held, 1) << "lingers";
}
TEST_F(HoldStreamTest, LaterMessagesHaveNoLinger) {
  BeRegistered();
  v1::HoldRegistrationRequest request;
  request.mutable_linger();
  Say(request);
  ExpectEnd(absl::StatusCode::kInvalidArgument, "linger: ");
}
TEST_F(HoldStreamTest, LaterMessagesHaveAGoodStatus) {
  BeRegistered();
  Say(Status(v1::HEALTH_STATUS_MAINTENANCE));
  ExpectEnd(absl::StatusCode::kInvalidArgument, "status: ");
}

// Would break if the older of two streams were not told that it holds nothing any more, or its end harmed the newer's.
TEST_F(HoldStreamTest, ATakeoverEndsTheOlder) {
  BeRegistered();
  testing::TakingStream second(&executor_, &scheduler_, &unreported_);
  auto newer = std::make_shared<HoldStream>(second.outbox(), &scheduler_, &keeper_);
  newer->Open();
  newer->OnMessage(First());
  Run();
  ExpectEnd(absl::StatusCode::kAborted, "");
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  EXPECT_EQ(reporter_.held, 1);
  newer->OnEnd(absl::CancelledError("test over"));
}

// Would break if a stream that ends in the moment of its first message left an instance that nobody gives up.
TEST_F(HoldStreamTest, EndedBeforeItsFirstMessage) {
  Cancel();
  Say(First());
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);
}

}  // namespace
}  // namespace meshgate::server
