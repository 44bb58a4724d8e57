#include "consul/resilience/token_bucket.h"

#include <algorithm>

namespace meshgate::consul {

absl::Duration TokenBucket::Take(absl::Time now) {
  const absl::Time start = std::max(next_, now);
  next_ = start + interval_;
  return std::max(absl::ZeroDuration(), start - slack_ - now);
}

}  // namespace meshgate::consul
