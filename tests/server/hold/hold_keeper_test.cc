#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/hold/hold_keeper_fixture.h"

namespace meshgate::server {
namespace {

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
