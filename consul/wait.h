#ifndef MESHGATE_CONSUL_WAIT_H_
#define MESHGATE_CONSUL_WAIT_H_

#include <algorithm>

#include "absl/time/time.h"
#include "consul/backend.h"

namespace meshgate::consul {

inline constexpr absl::Duration kDefaultWait = absl::Minutes(5);
inline constexpr absl::Duration kMaxWait = absl::Minutes(10);
// Of a patient read.
inline constexpr absl::Duration kMaxPatience = absl::Minutes(10);

// What ReadOptions::wait means to every backend: zero for a read that does not block, otherwise at least a millisecond,
// the finest that Consul is asked for.
inline absl::Duration WaitOf(const ReadOptions& options) {
  if (options.index == 0) return absl::ZeroDuration();
  if (options.wait <= absl::ZeroDuration()) return kDefaultWait;
  return std::clamp(options.wait, absl::Milliseconds(1), kMaxWait);
}

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WAIT_H_
