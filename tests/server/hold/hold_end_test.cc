// How holds end: by their callers, by those who come after, by writes past them, by the keeper.
#include <optional>

#include "tests/server/hold/hold_keeper_fixture.h"

namespace meshgate::server {
namespace {

using HoldEndTest = HoldKeeperTest;

// Would break if a caller that says goodbye stayed in the catalog, or was told so before it was true.
TEST_F(HoldEndTest, ReleaseDeregistersAtOnce) {
  Stream stream = OpenRegistered();
  stream.hold->Release();
  EXPECT_EQ(LastCall().method, Method::kDeregister);
  EXPECT_EQ(LastCall().name, "web-1");
  EXPECT_FALSE(stream.listener->ended.has_value());
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(stream.listener->ended, absl::OkStatus());
  EXPECT_EQ(reporter_.held, 0);
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(Pending(), 0u);
}

// Would break if a deregistration overtook the registration that is on its way.
TEST_F(HoldEndTest, ReleaseWaitsForTheCallUnderWay) {
  Stream stream = Open();
  stream.hold->Release();
  EXPECT_EQ(Pending(), 1u);
  ASSERT_TRUE(Answer(Method::kRegister));
  EXPECT_EQ(LastCall().method, Method::kDeregister);
  // It may never have arrived.
  ASSERT_TRUE(Answer(Method::kDeregister, NoSuchInstance()));
  EXPECT_EQ(stream.listener->ended, absl::OkStatus());
}

// Would break if a caller that goes while Consul is away were kept waiting, told that all is well, or left behind.
TEST_F(HoldEndTest, ReleaseWithoutConsulIsToldAndTriedAgain) {
  Stream stream = OpenRegistered();
  stream.hold->Release();
  ASSERT_TRUE(Answer(Method::kDeregister, ConsulIsAway()));
  ASSERT_TRUE(stream.listener->ended.has_value());
  EXPECT_EQ(stream.listener->ended->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(reporter_.held, 1);
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(reporter_.held, 0);

  // Not for ever: then Consul has removed it.
  Stream other = OpenRegistered();
  other.hold->Release();
  for (int i = 0; i < 700; ++i) {
    Answer(Method::kDeregister, ConsulIsAway());
    scheduler_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(reporter_.held, 0);
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// Would break if a broken connection took the instance from the catalog at once, or never.
TEST_F(HoldEndTest, ALostStreamLingers) {
  Stream stream = OpenRegistered();
  stream.hold->Lose();
  Live(kLinger - absl::Milliseconds(200));
  EXPECT_GE(Calls(Method::kHeartbeat), 3u);
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  Live(absl::Milliseconds(300));
  EXPECT_EQ(Calls(Method::kDeregister), 1u);
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(reporter_.held, 0);
  EXPECT_FALSE(stream.listener->ended.has_value());
}

// Would break if a caller that comes back in time made readers see its instance go, change or flap.
TEST_F(HoldEndTest, ComingBackWritesNothing) {
  Stream first = OpenRegistered();
  first.hold->Lose();
  Live(absl::Seconds(5));
  Stream second = Open();
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(second.hold->registered(), true);
  EXPECT_EQ(second.listener->changed, 1);
  Live(absl::Minutes(1));
  EXPECT_EQ(Calls(Method::kRegister), 1u);
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  EXPECT_EQ(reporter_.held, 1);
}

// Would break if a caller that comes back as something else went on as what it was, or was said to be registered
// before it is.
TEST_F(HoldEndTest, ComingBackChangedReplaces) {
  Stream first = OpenRegistered();
  first.hold->Lose();
  consul::Registration changed = Web();
  changed.port = 81;
  Stream second = Open(changed, Health::kWarning);
  EXPECT_EQ(second.hold->registered(), std::nullopt);
  EXPECT_EQ(LastCall().registration.port, 81u);
  ASSERT_TRUE(Answer(Method::kRegister));
  EXPECT_EQ(LastCall().health, Health::kWarning);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  EXPECT_EQ(second.hold->registered(), true);
  EXPECT_EQ(reporter_.reregistered, 0);
}

// Would break if two streams held one id, or if the one that lost it could still take it from the catalog.
TEST_F(HoldEndTest, TheLastOneWins) {
  Stream first = OpenRegistered();
  Stream second = Open();
  ASSERT_TRUE(first.listener->ended.has_value());
  EXPECT_EQ(first.listener->ended->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(*first.listener->ended), reason::kTakenOver);
  first.hold->Report(Health::kCritical);
  first.hold->Release();
  first.hold->Lose();
  first.hold->Abandon();
  Live(absl::Minutes(1));
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
  EXPECT_EQ(LastCall().health, Health::kPassing);
  EXPECT_FALSE(second.listener->ended.has_value());
  EXPECT_EQ(second.hold->registered(), true);
}

// Would break if a stream that comes while its predecessor is being deregistered ended up without a registration.
TEST_F(HoldEndTest, TakenWhileLeaving) {
  Stream first = OpenRegistered();
  first.hold->Release();
  Stream second = Open();
  EXPECT_EQ(first.listener->ended, absl::OkStatus());
  EXPECT_EQ(second.hold->registered(), std::nullopt);
  EXPECT_EQ(Pending(), 1u);
  ASSERT_TRUE(Answer(Method::kDeregister));
  AnswerRegistration();
  EXPECT_EQ(second.hold->registered(), true);
  EXPECT_EQ(reporter_.held, 1);
}

// Would break if a drain took instances from the catalog whose callers only change gateways.
TEST_F(HoldEndTest, AbandonLeavesItRegistered) {
  Stream stream = OpenRegistered();
  stream.hold->Abandon();
  EXPECT_EQ(reporter_.held, 0);
  scheduler_.Advance(absl::Minutes(20));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
  EXPECT_FALSE(stream.listener->ended.has_value());
}

// Would break if an operator's deregistration were undone by the next heartbeat, or lost a race with it.
TEST_F(HoldEndTest, ACallersDeregisterEndsTheHold) {
  Stream stream = OpenRegistered();
  scheduler_.Advance(absl::Seconds(5));
  ASSERT_EQ(backend_.pending(Method::kHeartbeat), 1u);
  std::optional<absl::Status> done;
  const auto deregister = [&] {
    done.reset();
    keeper_.Deregister("web-1", consul::WriteOptions(), [&done](absl::Status status) { done = std::move(status); });
  };
  deregister();
  EXPECT_EQ(backend_.pending(Method::kDeregister), 0u);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  ASSERT_TRUE(Answer(Method::kDeregister, ConsulIsAway()));
  EXPECT_EQ(done->code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(stream.listener->ended.has_value()) << "nothing was removed";

  Live(absl::Seconds(10));
  EXPECT_GE(Calls(Method::kHeartbeat), 3u);
  deregister();
  ASSERT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(done, absl::OkStatus());
  ASSERT_TRUE(stream.listener->ended.has_value());
  EXPECT_EQ(ReasonOf(*stream.listener->ended), reason::kDeregistered);
  stream.hold->Lose();
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);

  // Of what is not held.
  deregister();
  ASSERT_TRUE(Answer(Method::kDeregister, NoSuchInstance()));
  EXPECT_EQ(done->code(), absl::StatusCode::kNotFound);
}

// Would break if what a caller registers by itself were overwritten, or removed, by a stream that held the id before.
TEST_F(HoldEndTest, ACallersRegisterEndsTheHold) {
  Stream stream = OpenRegistered();
  std::optional<absl::Status> done;
  keeper_.Register(Web(), consul::WriteOptions(), [&done](absl::Status status) { done = std::move(status); });
  ASSERT_TRUE(Answer(Method::kRegister));
  EXPECT_EQ(done, absl::OkStatus());
  ASSERT_TRUE(stream.listener->ended.has_value());
  EXPECT_EQ(stream.listener->ended->code(), absl::StatusCode::kAborted);
  stream.hold->Lose();
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(Pending(), 0u);
}

// Would break if a registration of a caller's whose answer was lost were kept alive by the hold that it may have
// replaced.
TEST_F(HoldEndTest, ARegisterOfUnknownOutcomeIsUndone) {
  Stream stream = OpenRegistered();
  std::optional<absl::Status> done;
  keeper_.Register(Web(), consul::WriteOptions(), [&done](absl::Status status) { done = std::move(status); });
  ASSERT_TRUE(
      Answer(Method::kRegister, MakeError(absl::StatusCode::kDeadlineExceeded, reason::kWriteOutcomeUnknown, "late")));
  EXPECT_EQ(done->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(stream.listener->ended.has_value());
  scheduler_.RunReady();
  EXPECT_EQ(backend_.pending(Method::kRegister), 1u);
  AnswerRegistration();
  EXPECT_EQ(stream.hold->registered(), true);

  // One that was not sent has changed nothing.
  keeper_.Register(Web(), consul::WriteOptions(), [&done](absl::Status status) { done = std::move(status); });
  ASSERT_TRUE(Answer(Method::kRegister, ConsulIsAway()));
  scheduler_.RunReady();
  EXPECT_EQ(backend_.pending(Method::kRegister), 0u);
}

// Would break if stopping left timers or calls behind, or let a stream in afterwards.
TEST_F(HoldEndTest, StopForgetsAll) {
  Stream stream = OpenRegistered();
  Stream lost = Open(Web("web-2"));
  lost.hold->Lose();
  keeper_.Stop();
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
  EXPECT_EQ(ReasonOf(stream.listener->ended.value()), reason::kDraining);
  Stream late = Open();
  EXPECT_EQ(late.hold, nullptr);
  EXPECT_EQ(ReasonOf(late.listener->ended.value()), reason::kDraining);
  EXPECT_EQ(reporter_.held, 0);
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
}

}  // namespace
}  // namespace meshgate::server
