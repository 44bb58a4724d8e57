#ifndef MESHGATE_SERVER_HOLD_HELD_INSTANCE_EFFECTS_H_
#define MESHGATE_SERVER_HOLD_HELD_INSTANCE_EFFECTS_H_

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "consul/types.h"
#include "server/hold/held_instance.h"

namespace meshgate::server {

struct HeldInstance::Effects {
  enum class Call { kNone, kRegister, kHeartbeat, kDeregister };

  Call call = Call::kNone;
  SharedHoldPlan plan;
  consul::Health health = consul::Health::kPassing;
  std::deque<ApartWrite> apart;
  // Those of callers who were permitted to write instances of other services.
  std::deque<ApartWrite> refused;
  std::weak_ptr<HoldListener> changed;
  std::vector<std::pair<std::weak_ptr<HoldListener>, absl::Status>> ended;
  // Goes without a lock held.
  SharedHoldLease lease;
  bool ask = false;
  bool reregistered = false;
  bool gone = false;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HELD_INSTANCE_EFFECTS_H_
