// Checks over time: TTLs, probes, deregistration, restarts.
#include <string>
#include <utility>

#include "consul/base/errors.h"
#include "tests/consul/embedded/backend_fixture.h"

namespace meshgate::consul {
namespace {

using ChecksTest = BackendFixture;

// A dead instance must turn critical at its TTL, not before, and a living one never.
TEST_F(ChecksTest, TtlRunsOutUnlessItIsReported) {
  Open();
  ASSERT_TRUE(Register(Service("web", Ttl(absl::Seconds(10)))).ok());
  EXPECT_TRUE(HasHealth("web", Health::kCritical)) << "until the first report";
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  for (int i = 0; i < 5; ++i) {
    scheduler_.Advance(absl::Seconds(9));
    EXPECT_TRUE(HasHealth("web", Health::kPassing));
    ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  }
  const uint64_t index = ServiceIndex("web");
  scheduler_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  EXPECT_EQ(ServiceIndex("web"), index);
  scheduler_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
  ASSERT_TRUE(Heartbeat("web", Health::kWarning).ok());
  EXPECT_TRUE(HasHealth("web", Health::kWarning));
  scheduler_.Advance(absl::Seconds(20));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
}

// Registering again is a sign of life, and must not make the instance flap.
TEST_F(ChecksTest, RegisteringAgainRenewsTheTtl) {
  Open();
  ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  const uint64_t index = ServiceIndex("web");
  for (int i = 0; i < 3; ++i) {
    scheduler_.Advance(absl::Seconds(8));
    ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  }
  EXPECT_EQ(ServiceIndex("web"), index);
}

// A TTL must start over with a restart: the instance could not report while the process was away.
TEST_F(ChecksTest, RestartRenewsTheTtl) {
  Open();
  ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  scheduler_.Advance(absl::Seconds(9));
  Reopen();
  const uint64_t index = ServiceIndex("web");
  scheduler_.Advance(absl::Seconds(9));
  EXPECT_EQ(ServiceIndex("web"), index);
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
}

// A list that was narrowed must hold for what is registered already.
TEST_F(ChecksTest, ANarrowedListEndsProbes) {
  Open();
  ASSERT_TRUE(Register(Service("web", Tcp())).ok());
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_TRUE(prober_->Answer(Health::kPassing));
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  Close();
  EmbeddedOptions narrowed;
  narrowed.check_allow = CheckAllowList();
  Open(std::move(narrowed));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
  scheduler_.Advance(absl::Seconds(60));
  EXPECT_EQ(prober_->pending(), 0u);
}

// The first probe must come at once and the next ones an interval after the answer, never two at a time.
TEST_F(ChecksTest, ProbesInIntervals) {
  Open();
  ASSERT_TRUE(Register(Service("web", Tcp())).ok());
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_EQ(prober_->pending(), 1u);
  EXPECT_EQ(prober_->last_timeout(), absl::Seconds(10)) << "Consul's default";
  scheduler_.Advance(absl::Seconds(60));
  EXPECT_EQ(prober_->pending(), 1u);
  EXPECT_TRUE(prober_->Answer(Health::kPassing));
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  const uint64_t index = ServiceIndex("web");
  scheduler_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  EXPECT_EQ(prober_->pending(), 0u);
  scheduler_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(prober_->Answer(Health::kPassing));
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_EQ(ServiceIndex("web"), index) << "the same answer again is no change";
  EXPECT_TRUE(prober_->Answer(Health::kWarning));
  EXPECT_TRUE(HasHealth("web", Health::kWarning));
}

// A probe's check starts with its last status after a restart, and is made at once.
TEST_F(ChecksTest, RestartProbesAtOnce) {
  Open();
  ASSERT_TRUE(Register(Service("web", Tcp())).ok());
  scheduler_.Advance(absl::Seconds(1));
  prober_->Answer(Health::kPassing);
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  Reopen();
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_TRUE(prober_->Answer(Health::kCritical));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
}

// A deregistered instance must not be probed on, nor come back by a late answer.
TEST_F(ChecksTest, DeregisterStopsProbes) {
  Open();
  ASSERT_TRUE(Register(Service("web", Tcp())).ok());
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_EQ(prober_->pending(), 1u);
  ASSERT_TRUE(Deregister("web").ok());
  EXPECT_TRUE(prober_->Answer(Health::kPassing));
  EXPECT_TRUE(RunUntil([&] { return scheduler_.pending_timers() == 0; }));
  EXPECT_TRUE(ReadService("web")->value.empty());
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(prober_->pending(), 0u);
}

// Replacing a registration must replace its probes: the old one's answers say nothing about the new one.
TEST_F(ChecksTest, ReplacingRestartsProbes) {
  Open();
  ASSERT_TRUE(Register(Service("web", Tcp())).ok());
  scheduler_.Advance(absl::Seconds(1));
  Registration replaced = Service("web", Tcp());
  replaced.port = 81;
  ASSERT_TRUE(Register(replaced).ok());
  EXPECT_TRUE(RunUntil([&] { return scheduler_.pending_timers() == 1; }));
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_EQ(prober_->pending(), 2u);
  EXPECT_TRUE(prober_->Answer(Health::kPassing));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
  EXPECT_TRUE(prober_->Answer(Health::kPassing));
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
}

// An instance that stays critical must go when its time has come, and one that recovers in between must stay.
TEST_F(ChecksTest, CriticalForTooLongIsDeregistered) {
  Open();
  CheckDefinition check = Ttl();
  check.deregister_critical_after = absl::Minutes(1);
  ASSERT_TRUE(Register(Service("web", check)).ok());
  scheduler_.Advance(absl::Seconds(59));
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  // The TTL runs out ten seconds later; from then on it counts anew.
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
  scheduler_.Advance(absl::Seconds(59));
  EXPECT_EQ(ReadService("web")->value.size(), 1u);
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_TRUE(RunUntil([&] { return ReadService("web")->value.empty(); }));
  EXPECT_EQ(ReasonOf(Heartbeat("web", Health::kPassing)), reason::kInstanceNotFound);
  EXPECT_TRUE(RunUntil([&] { return scheduler_.pending_timers() == 0; }));
}

// The initial status holds until somebody knows better.
TEST_F(ChecksTest, InitialStatus) {
  Open();
  CheckDefinition check = Tcp();
  check.initial_status = Health::kPassing;
  ASSERT_TRUE(Register(Service("web", check)).ok());
  EXPECT_TRUE(HasHealth("web", Health::kPassing));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_TRUE(prober_->Answer(Health::kCritical));
  EXPECT_TRUE(HasHealth("web", Health::kCritical));
}

}  // namespace
}  // namespace meshgate::consul
