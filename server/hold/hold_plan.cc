#include "server/hold/hold_plan.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace meshgate::server {
namespace {

constexpr char kCheckName[] = "Held by its stream to meshgate";

size_t TtlPosition(const consul::Registration& registration) {
  const auto it = std::find_if(registration.checks.begin(), registration.checks.end(),
                               [](const auto& check) { return std::holds_alternative<consul::TtlProbe>(check.probe); });
  return static_cast<size_t>(it - registration.checks.begin());
}

}  // namespace

HoldPlan PlanHold(consul::Registration registration) {
  HoldPlan plan;
  plan.ttl_position = TtlPosition(registration);
  if (plan.ttl_position == registration.checks.size()) {
    consul::CheckDefinition check;
    check.probe = consul::TtlProbe{kHoldTtl};
    check.name = kCheckName;
    registration.checks.push_back(std::move(check));
  }
  consul::CheckDefinition& check = registration.checks[plan.ttl_position];
  if (check.deregister_critical_after == absl::ZeroDuration()) check.deregister_critical_after = kHoldDeregisterAfter;
  // Equal for plans that differ in nothing else.
  check.initial_status = consul::Health::kCritical;
  plan.heartbeat_interval = std::min(std::get<consul::TtlProbe>(check.probe).ttl / 3, kMaxHeartbeatInterval);
  plan.registration = std::move(registration);
  return plan;
}

}  // namespace meshgate::server
