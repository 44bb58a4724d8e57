#ifndef MESHGATE_SERVER_HOLD_HOLD_PLAN_H_
#define MESHGATE_SERVER_HOLD_HOLD_PLAN_H_

#include <memory>

#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/types.h"

namespace meshgate::server {

// Of the TTL check that a held instance gets where it is registered without one: how long it passes after the gateway
// has died.
inline constexpr absl::Duration kHoldTtl = absl::Seconds(15);

// When Consul removes an instance whose gateway has died, where its TTL check does not say. Well above Consul's least
// of a minute, because an instance that reports critical for so long is removed as well, and registered again.
inline constexpr absl::Duration kHoldDeregisterAfter = absl::Minutes(10);

// However long the TTL: an agent that has forgotten the instance is noticed within this time.
inline constexpr absl::Duration kMaxHeartbeatInterval = absl::Seconds(10);

// How one registration is kept alive: what is written to Consul, and how often it is heard from.
struct HoldPlan {
  // With exactly one TTL check. The status that check begins with is the writer's to set: it is what was reported last.
  consul::Registration registration;
  size_t ttl_position = 0;
  // A third of the TTL, at most kMaxHeartbeatInterval.
  absl::Duration heartbeat_interval;
  // Of who holds it, with which all is written: kept for as long as it is held.
  consul::CallToken token;

  friend bool operator==(const HoldPlan& a, const HoldPlan& b) {
    return a.registration == b.registration && a.token == b.token;
  }
};
using SharedHoldPlan = std::shared_ptr<const HoldPlan>;

// `registration` is as consul::ValidateRegistration() found it good.
HoldPlan PlanHold(consul::Registration registration);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HOLD_PLAN_H_
