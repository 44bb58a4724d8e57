#include "server/service/read_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/validate.h"
#include "server/service/validate_request.h"

namespace meshgate::server {

absl::StatusOr<absl::Duration> CallTimeout(const Caller& caller) {
  if (caller.time_left <= absl::ZeroDuration()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                     "the call's deadline passed before it was started");
  }
  return std::min(caller.time_left, kMaxCallTime);
}

absl::StatusOr<ReadPlan> PlanRead(const v1::ReadOptions& options, const Caller& caller) {
  ReadPlan plan;
  switch (options.consistency()) {
    case v1::CONSISTENCY_UNSPECIFIED:
    case v1::CONSISTENCY_CACHED:
      break;
    case v1::CONSISTENCY_DEFAULT:
      plan.cached = false;
      break;
    case v1::CONSISTENCY_CONSISTENT:
      plan.cached = false;
      plan.mode = consul::ReadMode::kConsistent;
      break;
    case v1::CONSISTENCY_STALE:
      plan.cached = false;
      plan.mode = consul::ReadMode::kStale;
      break;
    default:
      return InvalidField("options.consistency",
                          absl::StrCat("unknown value ", static_cast<int>(options.consistency())));
  }
  if (options.has_max_age()) {
    absl::StatusOr<absl::Duration> max_age = ParseDuration("options.max_age", options.max_age());
    if (!max_age.ok()) return max_age.status();
    if (!plan.cached) return InvalidField("options.max_age", "only with CONSISTENCY_CACHED");
    plan.max_age = *max_age;
  }
  if (absl::Status s = consul::ValidateDatacenter("options.datacenter", options.datacenter()); !s.ok()) return s;
  plan.datacenter = options.datacenter();
  plan.min_index = options.min_index();

  absl::StatusOr<absl::Duration> timeout = CallTimeout(caller);
  if (!timeout.ok()) return timeout.status();
  plan.timeout = *timeout;
  plan.identity = caller.identity;
  return plan;
}

}  // namespace meshgate::server
