#include "consul/resilience/token_bucket.h"

#include <algorithm>

namespace meshgate::consul {

absl::Duration TokenBucket::Take(absl::Time now) {
  const absl::Duration wait = Wait(now);
  next_ = std::max(next_, now) + interval_;
  return wait;
}

absl::Duration TokenBucket::Wait(absl::Time now) const {
  return std::max(absl::ZeroDuration(), std::max(next_, now) - slack_ - now);
}

}  // namespace meshgate::consul
