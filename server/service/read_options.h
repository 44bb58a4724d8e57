// Which way a unary read goes, and how long it may take.
#ifndef MESHGATE_SERVER_SERVICE_READ_OPTIONS_H_
#define MESHGATE_SERVER_SERVICE_READ_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "meshgate/v1/common.pb.h"
#include "server/auth/guard.h"
#include "server/service/call.h"

namespace meshgate::server {

// The longest that a unary call waits for Consul, whatever its caller's deadline.
inline constexpr absl::Duration kMaxCallTime = absl::Seconds(30);

// meshgate.v1.ReadOptions, checked.
struct ReadPlan {
  // From the hub's state; otherwise from the backend, with `mode`.
  bool cached = true;
  consul::ReadMode mode = consul::ReadMode::kDefault;
  std::string datacenter;
  // The answer has to reflect this index. 0: any.
  uint64_t min_index = 0;
  // Cached reads only.
  std::optional<absl::Duration> max_age;
  // For all of the call.
  absl::Duration timeout;
  // Of a cached list, with a guard: what is asked about and given, at least.
  auth::Guard::Page page;
  // Of the caller; null where nobody is asked for permission.
  auth::SharedIdentity identity;
};

// How long Consul may take: what is left of the caller's deadline, at most kMaxCallTime. DEADLINE_EXCEEDED when nothing
// is left.
absl::StatusOr<absl::Duration> CallTimeout(const Caller& caller);

// INVALID_ARGUMENT names the field below "options": an unknown consistency, a max_age that is negative or comes with a
// consistency that has no age, a malformed datacenter. DEADLINE_EXCEEDED as above.
absl::StatusOr<ReadPlan> PlanRead(const v1::ReadOptions& options, const Caller& caller);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_READ_OPTIONS_H_
