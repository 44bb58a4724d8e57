#include "server/hold/hold_keeper.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/hold/hold_harness.h"

namespace meshgate::server {
namespace {

using consul::Health;

constexpr absl::Duration kLinger = absl::Seconds(10);

class Listener final : public HoldListener {
 public:
  void OnHoldChanged() override { ++changed; }
  void OnHoldEnded(absl::Status status) override {
    EXPECT_FALSE(ended.has_value()) << "ended twice";
    ended = std::move(status);
  }

  int changed = 0;
  std::optional<absl::Status> ended;
};

class HoldKeeperTest : public HoldHarness {
 protected:
  struct Stream {
    std::shared_ptr<Listener> listener = std::make_shared<Listener>();
    std::unique_ptr<Hold> hold;
  };

  Stream Open(const consul::Registration& registration = Web(), Health health = Health::kPassing) {
    Stream stream;
    stream.hold = keeper_.Take(PlanHold(registration), health, kLinger, stream.listener);
    scheduler_.RunReady();
    return stream;
  }
  Stream OpenRegistered() {
    Stream stream = Open();
    AnswerRegistration();
    return stream;
  }
  // Lets time pass in which every heartbeat is answered.
  void Live(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(100)) {
      scheduler_.Advance(absl::Milliseconds(100));
      while (Answer(Method::kHeartbeat)) {
      }
    }
  }
};

// Would break if an instance were not there, not passing, or not kept so without its caller doing anything.
TEST_F(HoldKeeperTest, RegistersAndKeepsPassing) {
  Stream stream = Open();
  ASSERT_EQ(Pending(), 1u);
  const auto registered = LastCall();
  EXPECT_EQ(registered.method, Method::kRegister);
  ASSERT_EQ(registered.registration.checks.size(), 1u);
  EXPECT_EQ(registered.registration.checks[0].initial_status, Health::kPassing);
  EXPECT_EQ(stream.hold->registered(), std::nullopt);
  ASSERT_TRUE(Answer(Method::kRegister));
  // At once: an instance that was there before keeps its old status until then.
  EXPECT_EQ(LastCall().method, Method::kHeartbeat);
  EXPECT_EQ(LastCall().health, Health::kPassing);
  EXPECT_EQ(stream.hold->registered(), std::nullopt);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  EXPECT_EQ(stream.hold->registered(), true);
  EXPECT_EQ(stream.listener->changed, 1);
  EXPECT_EQ(reporter_.held, 1);

  Live(absl::Minutes(1));
  // One in 4 to 5 seconds.
  EXPECT_GE(Calls(Method::kHeartbeat), 12u);
  EXPECT_LE(Calls(Method::kHeartbeat), 18u);
  EXPECT_EQ(Calls(Method::kRegister), 1u);
  EXPECT_EQ(stream.listener->changed, 1);
}

// Would break if a reported health waited for the next heartbeat, were lost while one is under way, or if many reports
// made many calls.
TEST_F(HoldKeeperTest, ReportsTheLatestHealth) {
  Stream stream = Open(Web(), Health::kWarning);
  EXPECT_EQ(LastCall().registration.checks[0].initial_status, Health::kWarning);
  AnswerRegistration();
  stream.hold->Report(Health::kWarning);
  EXPECT_EQ(Pending(), 0u);
  stream.hold->Report(Health::kPassing);
  EXPECT_EQ(LastCall().health, Health::kPassing);
  stream.hold->Report(Health::kWarning);
  stream.hold->Report(Health::kCritical);
  EXPECT_EQ(Pending(), 1u);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  EXPECT_EQ(LastCall().health, Health::kCritical);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(stream.listener->changed, 1);
}

// Would break if an agent that lost its memory were left without the instance, or asked in a tight loop where somebody
// else removes it each time.
TEST_F(HoldKeeperTest, RegistersAgainWhenForgotten) {
  Stream stream = OpenRegistered();
  stream.hold->Report(Health::kCritical);
  ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
  EXPECT_EQ(stream.hold->registered(), false);
  EXPECT_EQ(LastCall().method, Method::kRegister);
  EXPECT_EQ(LastCall().registration.checks[0].initial_status, Health::kCritical);
  EXPECT_EQ(reporter_.reregistered, 0);
  AnswerRegistration();
  EXPECT_EQ(stream.hold->registered(), true);
  EXPECT_EQ(stream.listener->changed, 3);
  EXPECT_EQ(reporter_.reregistered, 1);

  scheduler_.Advance(absl::Seconds(5));
  // Somebody has replaced it by one without a TTL check.
  ASSERT_TRUE(Answer(Method::kHeartbeat, MakeError(absl::StatusCode::kFailedPrecondition, reason::kNoTtlCheck, "")));
  ASSERT_TRUE(Answer(Method::kRegister));
  ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
  EXPECT_EQ(Pending(), 0u);
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(LastCall().method, Method::kRegister);
}

// Would break if losing Consul ended the stream, flooded its reader or Consul, or was never over.
TEST_F(HoldKeeperTest, OutlivesAnOutage) {
  Stream stream = Open();
  ASSERT_TRUE(Answer(Method::kRegister, ConsulIsAway()));
  EXPECT_EQ(stream.hold->registered(), false);
  for (int i = 0; i < 600; ++i) {
    scheduler_.Advance(absl::Milliseconds(100));
    Answer(Method::kRegister, ConsulIsAway());
  }
  EXPECT_EQ(stream.listener->changed, 1);
  // A minute of tries that are 2.5 s apart in the end.
  EXPECT_GE(Calls(Method::kRegister), 12u);
  EXPECT_LE(Calls(Method::kRegister), 60u);
  EXPECT_EQ(Calls(Method::kHeartbeat), 0u);
  scheduler_.Advance(absl::Seconds(5));
  AnswerRegistration();
  EXPECT_EQ(stream.hold->registered(), true);

  scheduler_.Advance(absl::Seconds(5));
  ASSERT_TRUE(Answer(Method::kHeartbeat, ConsulIsAway()));
  EXPECT_EQ(stream.hold->registered(), false);
  // Waits for the next try, which may not be in vain.
  stream.hold->Report(Health::kWarning);
  EXPECT_EQ(Pending(), 0u);
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(LastCall().health, Health::kWarning);
  ASSERT_TRUE(Answer(Method::kHeartbeat));
  EXPECT_EQ(stream.hold->registered(), true);
  EXPECT_EQ(reporter_.reregistered, 0);
}

// Would break if a registration that Consul will never take were tried for ever in front of a caller who is not told,
// or if a token that is gone for a moment ended what was registered before.
TEST_F(HoldKeeperTest, ARefusalEndsTheStream) {
  const auto denied = [] { return MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no"); };
  Stream refused = Open();
  ASSERT_TRUE(Answer(Method::kRegister, denied()));
  ASSERT_TRUE(refused.listener->ended.has_value());
  EXPECT_EQ(refused.listener->ended->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(reporter_.held, 0);

  Stream accepted = OpenRegistered();
  scheduler_.Advance(absl::Seconds(5));
  ASSERT_TRUE(Answer(Method::kHeartbeat, NoSuchInstance()));
  ASSERT_TRUE(Answer(Method::kRegister, denied()));
  EXPECT_FALSE(accepted.listener->ended.has_value());
  EXPECT_EQ(accepted.hold->registered(), false);

  // A change that is refused leaves nobody who wants what was there.
  consul::Registration other = Web();
  other.port = 81;
  Stream changed = Open(other);
  EXPECT_EQ(LastCall().registration.port, 81u);
  ASSERT_TRUE(Answer(Method::kRegister, denied()));
  EXPECT_TRUE(changed.listener->ended.has_value());
  EXPECT_TRUE(Answer(Method::kDeregister));
  EXPECT_EQ(reporter_.held, 0);
}

// Would break if a caller that says goodbye stayed in the catalog, or was told so before it was true.
TEST_F(HoldKeeperTest, ReleaseDeregistersAtOnce) {
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
TEST_F(HoldKeeperTest, ReleaseWaitsForTheCallUnderWay) {
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
TEST_F(HoldKeeperTest, ReleaseWithoutConsulIsToldAndTriedAgain) {
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
TEST_F(HoldKeeperTest, ALostStreamLingers) {
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
TEST_F(HoldKeeperTest, ComingBackWritesNothing) {
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
TEST_F(HoldKeeperTest, ComingBackChangedReplaces) {
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
TEST_F(HoldKeeperTest, TheLastOneWins) {
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
TEST_F(HoldKeeperTest, TakenWhileLeaving) {
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
TEST_F(HoldKeeperTest, AbandonLeavesItRegistered) {
  Stream stream = OpenRegistered();
  stream.hold->Abandon();
  EXPECT_EQ(reporter_.held, 0);
  scheduler_.Advance(absl::Minutes(20));
  EXPECT_EQ(Pending(), 0u);
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
  EXPECT_FALSE(stream.listener->ended.has_value());
}

// Would break if an operator's deregistration were undone by the next heartbeat, or lost a race with it.
TEST_F(HoldKeeperTest, ACallersDeregisterEndsTheHold) {
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
TEST_F(HoldKeeperTest, ACallersRegisterEndsTheHold) {
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
TEST_F(HoldKeeperTest, ARegisterOfUnknownOutcomeIsUndone) {
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
TEST_F(HoldKeeperTest, StopForgetsAll) {
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

// Would break if many who come at once took all of Consul's connections, or if some of them never had their turn.
TEST_F(HoldKeeperTest, AFewCallsAtATime) {
  constexpr size_t kHeld = 50;
  std::vector<Stream> streams;
  for (size_t i = 0; i < kHeld; ++i) streams.push_back(Open(Web(absl::StrCat("web-", i))));
  EXPECT_EQ(Pending(), 8u);
  // Gone before its turn: nothing is to be done for it.
  streams[40].hold->Release();
  EXPECT_EQ(streams[40].listener->ended, absl::OkStatus());
  // What goes wrong gives its turn to the next one, too.
  ASSERT_TRUE(Answer(Method::kRegister, ConsulIsAway()));
  EXPECT_EQ(Pending(), 8u);
  for (absl::Duration passed; passed < absl::Seconds(2); passed += absl::Milliseconds(10)) {
    while (Answer(Method::kRegister) || Answer(Method::kHeartbeat)) {
    }
    EXPECT_LE(Pending(), 8u);
    scheduler_.Advance(absl::Milliseconds(10));
  }
  for (size_t i = 0; i < kHeld; ++i) {
    if (i == 40) continue;
    EXPECT_EQ(streams[i].hold->registered(), true) << i;
  }
  EXPECT_EQ(Calls(Method::kDeregister), 0u);
}

// Would break if many who came together, as after an outage, were heard from together for ever.
TEST_F(HoldKeeperTest, HeartbeatsAreSpread) {
  constexpr int kHeld = 200;
  std::vector<Stream> streams;
  for (int i = 0; i < kHeld; ++i) streams.push_back(Open(Web(absl::StrCat("web-", i))));
  while (Answer(Method::kRegister)) {
  }
  while (Answer(Method::kHeartbeat)) {
  }
  size_t most = 0;
  size_t before = Calls(Method::kHeartbeat);
  for (int i = 0; i < 60; ++i) {
    scheduler_.Advance(absl::Milliseconds(500));
    while (Answer(Method::kHeartbeat)) {
    }
    const size_t now = Calls(Method::kHeartbeat);
    most = std::max(most, now - before);
    before = now;
  }
  // 22 in half a second on average, 200 where they go together.
  EXPECT_LT(most, 60u);
  EXPECT_GT(before, 1200u);
}

}  // namespace
}  // namespace meshgate::server
