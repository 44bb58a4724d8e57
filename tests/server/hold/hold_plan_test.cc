#include "server/hold/hold_plan.h"

#include <gtest/gtest.h>

namespace meshgate::server {
namespace {

consul::Registration Web() {
  consul::Registration registration;
  registration.id = "web-1";
  registration.service = "web";
  return registration;
}

consul::CheckDefinition Ttl(absl::Duration ttl) {
  consul::CheckDefinition check;
  check.probe = consul::TtlProbe{ttl};
  return check;
}

// Would break if an instance without a TTL check stayed for ever behind a gateway that was killed.
TEST(HoldPlanTest, AddsACheckThatRunsOut) {
  consul::Registration registration = Web();
  registration.checks.emplace_back();
  registration.checks[0].probe = consul::TcpProbe{"127.0.0.1:80"};
  const HoldPlan plan = PlanHold(registration);
  ASSERT_EQ(plan.registration.checks.size(), 2u);
  EXPECT_TRUE(plan.registration.checks[0] == registration.checks[0]);
  EXPECT_EQ(plan.ttl_position, 1u);
  const consul::CheckDefinition& added = plan.registration.checks[1];
  EXPECT_EQ(std::get<consul::TtlProbe>(added.probe).ttl, absl::Seconds(15));
  EXPECT_EQ(added.deregister_critical_after, absl::Minutes(10));
  EXPECT_EQ(plan.heartbeat_interval, absl::Seconds(5));
}

// Would break if a caller's own TTL were replaced, heard from too late, or so seldom that an agent that has forgotten
// the instance is not noticed.
TEST(HoldPlanTest, KeepsTheCallersCheck) {
  consul::Registration registration = Web();
  registration.checks.push_back(Ttl(absl::Seconds(3)));
  HoldPlan plan = PlanHold(registration);
  ASSERT_EQ(plan.registration.checks.size(), 1u);
  EXPECT_EQ(plan.heartbeat_interval, absl::Seconds(1));
  EXPECT_EQ(plan.registration.checks[0].deregister_critical_after, absl::Minutes(10));

  registration.checks[0] = Ttl(absl::Hours(1));
  registration.checks[0].deregister_critical_after = absl::Minutes(2);
  plan = PlanHold(registration);
  EXPECT_EQ(plan.heartbeat_interval, absl::Seconds(10));
  EXPECT_EQ(plan.registration.checks[0].deregister_critical_after, absl::Minutes(2));
}

// Would break if a stream that comes back with the same registration wrote it again, or with another one did not.
TEST(HoldPlanTest, ComparesWhatIsWritten) {
  const HoldPlan plan = PlanHold(Web());
  EXPECT_TRUE(plan == PlanHold(Web()));
  const auto differs = [&plan](auto change) {
    consul::Registration other = Web();
    change(&other);
    return !(plan == PlanHold(other));
  };
  EXPECT_TRUE(differs([](auto* r) { r->service = "api"; }));
  EXPECT_TRUE(differs([](auto* r) { r->address = "10.0.0.1"; }));
  EXPECT_TRUE(differs([](auto* r) { r->port = 81; }));
  EXPECT_TRUE(differs([](auto* r) { r->tags = {"a"}; }));
  EXPECT_TRUE(differs([](auto* r) { r->meta["a"] = "b"; }));
  EXPECT_TRUE(differs([](auto* r) { r->weight_passing = 2; }));
  EXPECT_TRUE(differs([](auto* r) { r->weight_warning = 2; }));
  EXPECT_TRUE(differs([](auto* r) { r->checks.push_back(Ttl(absl::Seconds(14))); }));
}

}  // namespace
}  // namespace meshgate::server
