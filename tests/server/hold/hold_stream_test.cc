#include "server/hold/hold_stream.h"

#include <memory>
#include <optional>
#include <vector>

#include "tests/server/hold/hold_harness.h"

namespace meshgate::server {
namespace {

using consul::Health;

// A transport whose writes end when the test says so.
class Transport final : public StreamWriter {
 public:
  void StartWrite(consul::SharedMessage message) override {
    EXPECT_FALSE(writing) << "two writes at a time";
    EXPECT_FALSE(end.has_value()) << "a write after the end";
    writing = true;
    written.emplace_back();
    EXPECT_TRUE(written.back().ParseFromString(message->bytes));
  }
  void Finish(const absl::Status& status) override {
    EXPECT_FALSE(writing) << "finished while a write is in flight";
    EXPECT_FALSE(end.has_value()) << "finished twice";
    end = status;
  }

  bool writing = false;
  std::vector<v1::HoldRegistrationResponse> written;
  std::optional<absl::Status> end;
};

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
  ~HoldStreamTest() override {
    if (transport_.writing) WriteDone(false);
    stream_->OnCancelled();
  }

  void WriteDone(bool ok = true) {
    transport_.writing = false;
    stream_->OnWriteDone(ok);
    scheduler_.RunReady();
  }
  // Opens it, and takes its first state.
  void BeRegistered() {
    stream_->OnMessage(First());
    AnswerRegistration();
    ASSERT_EQ(transport_.written.size(), 1u);
    EXPECT_EQ(transport_.written[0].id(), "web-1");
    EXPECT_TRUE(transport_.written[0].registered());
    WriteDone();
  }
  void ExpectEnd(absl::StatusCode code, const std::string& begin) {
    ASSERT_TRUE(transport_.end.has_value());
    EXPECT_EQ(transport_.end->code(), code) << *transport_.end;
    EXPECT_EQ(transport_.end->message().substr(0, begin.size()), begin);
  }

  Transport transport_;
  std::shared_ptr<HoldStream> stream_ = std::make_shared<HoldStream>(&transport_, &scheduler_, &keeper_);
};

// Would break if a caller were not told that it is registered, or what heartbeats say were not what it reports.
TEST_F(HoldStreamTest, RegistersAndReports) {
  BeRegistered();
  stream_->OnMessage(Status(v1::HEALTH_STATUS_CRITICAL));
  EXPECT_EQ(LastCall().health, Health::kCritical);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  stream_->OnMessage(Status(v1::HEALTH_STATUS_UNSPECIFIED));
  EXPECT_EQ(LastCall().health, Health::kPassing);
  EXPECT_EQ(transport_.written.size(), 1u);
}

// Would break if a reader that is slow got more than one message at a time, or an old state last.
TEST_F(HoldStreamTest, ASlowReaderGetsTheLatestState) {
  stream_->OnMessage(First());
  AnswerRegistration();
  EXPECT_TRUE(transport_.writing);
  for (int i = 0; i < 3; ++i) {
    stream_->OnMessage(Status(i % 2 == 0 ? v1::HEALTH_STATUS_WARNING : v1::HEALTH_STATUS_PASSING));
    ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
    AnswerRegistration();
  }
  stream_->OnMessage(Status(v1::HEALTH_STATUS_CRITICAL));
  ASSERT_TRUE(Answer(Method::kHeartbeat, ConsulIsAway()));
  EXPECT_EQ(transport_.written.size(), 1u);
  WriteDone();
  ASSERT_EQ(transport_.written.size(), 2u);
  EXPECT_FALSE(transport_.written[1].registered());
  WriteDone();
  EXPECT_EQ(transport_.written.size(), 2u);
}

// Would break if a caller that closes its side stayed registered, or was told OK before it is gone.
TEST_F(HoldStreamTest, HalfCloseDeregisters) {
  BeRegistered();
  stream_->OnReadsDone();
  // Not before it is known that this was no broken connection.
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  ASSERT_EQ(transport_.written.size(), 2u);
  WriteDone();
  ASSERT_EQ(backend_.pending(Method::kDeregister), 1u);
  EXPECT_FALSE(transport_.end.has_value());
  ASSERT_TRUE(Answer(Method::kDeregister));
  ExpectEnd(absl::StatusCode::kOk, "");
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a client that was killed were taken for one that says goodbye: its instance would be gone at once,
// and flap when it comes back.
TEST_F(HoldStreamTest, ABrokenConnectionLooksLikeAHalfCloseFirst) {
  BeRegistered();
  stream_->OnReadsDone();
  ASSERT_TRUE(transport_.writing);
  WriteDone(/*ok=*/false);
  ExpectEnd(absl::StatusCode::kCancelled, "");
  stream_->OnCancelled();
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  scheduler_.Advance(kDefaultLinger + absl::Milliseconds(1));
  while (Answer(Method::kHeartbeat)) {
  }
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a half-close behind a write that is still in flight were mistaken the same way.
TEST_F(HoldStreamTest, HalfCloseWhileWriting) {
  stream_->OnMessage(First());
  AnswerRegistration();
  ASSERT_TRUE(transport_.writing);
  stream_->OnReadsDone();
  WriteDone();
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  ASSERT_EQ(transport_.written.size(), 2u);
  WriteDone();
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a caller that says goodbye before Consul has answered waited for Consul.
TEST_F(HoldStreamTest, HalfCloseBeforeAnyState) {
  stream_->OnMessage(First());
  ASSERT_TRUE(Answer(Method::kRegister, ConsulIsAway()));
  WriteDone();
  stream_->OnReadsDone();
  WriteDone();
  ASSERT_TRUE(Answer(Method::kDeregister, ConsulIsAway()));
  ExpectEnd(absl::StatusCode::kUnavailable, "Consul is away");
}

// Would break if the caller's own linger were not kept to.
TEST_F(HoldStreamTest, LosesItAfterItsLinger) {
  v1::HoldRegistrationRequest request = First();
  request.mutable_linger()->set_seconds(2);
  stream_->OnMessage(request);
  AnswerRegistration();
  WriteDone();
  stream_->OnCancelled();
  ExpectEnd(absl::StatusCode::kCancelled, "");
  scheduler_.Advance(absl::Milliseconds(1900));
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  while (Answer(Method::kHeartbeat)) {
  }
  scheduler_.Advance(absl::Milliseconds(200));
  while (Answer(Method::kHeartbeat)) {
  }
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
}

// Would break if a gateway that drains took its callers' instances from the catalog.
TEST_F(HoldStreamTest, ADrainLeavesItRegistered) {
  BeRegistered();
  stream_->outbox()->End(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "draining"));
  ExpectEnd(absl::StatusCode::kUnavailable, "draining");
  stream_->OnReadsDone();
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a stream that sends nothing, or nothing of use, held anything for long.
TEST_F(HoldStreamTest, TheFirstMessageIsDue) {
  scheduler_.Advance(kFirstMessageWithin - absl::Milliseconds(1));
  EXPECT_FALSE(transport_.end.has_value());
  scheduler_.Advance(absl::Milliseconds(2));
  ExpectEnd(absl::StatusCode::kDeadlineExceeded, "the first message did not come");
  stream_->OnMessage(First());
  EXPECT_EQ(Pending(), 0u);
}

// Would break if a stream that ends without a message were taken for one that may go.
TEST_F(HoldStreamTest, HalfCloseWithoutAMessage) {
  stream_->OnReadsDone();
  ExpectEnd(absl::StatusCode::kInvalidArgument, "registration: ");
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// Would break if a later message could change what is registered without anybody having checked it.
TEST_F(HoldStreamTest, LaterMessagesReportHealthAlone) {
  BeRegistered();
  stream_->OnMessage(First());
  ExpectEnd(absl::StatusCode::kInvalidArgument, "registration: ");
  EXPECT_EQ(reporter_.held, 1) << "lingers";
}
TEST_F(HoldStreamTest, LaterMessagesHaveNoLinger) {
  BeRegistered();
  v1::HoldRegistrationRequest request;
  request.mutable_linger();
  stream_->OnMessage(request);
  ExpectEnd(absl::StatusCode::kInvalidArgument, "linger: ");
}
TEST_F(HoldStreamTest, LaterMessagesHaveAGoodStatus) {
  BeRegistered();
  stream_->OnMessage(Status(v1::HEALTH_STATUS_MAINTENANCE));
  ExpectEnd(absl::StatusCode::kInvalidArgument, "status: ");
}

// Would break if a stream that ends in the moment of its first message left an instance that nobody gives up.
TEST_F(HoldStreamTest, EndedBeforeItsFirstMessage) {
  stream_->OnCancelled();
  stream_->OnMessage(First());
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);
}

}  // namespace
}  // namespace meshgate::server
