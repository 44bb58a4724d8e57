#include "consul/upstream/blocking_query_state.h"

#include <algorithm>

namespace meshgate::consul {

BlockingQueryState::Verdict BlockingQueryState::OnAnswer(std::optional<uint64_t> index, bool returned_early) {
  if (!index.has_value()) return Verdict::kUnusable;
  // Index 0 would never block and spin.
  const uint64_t got = std::max<uint64_t>(*index, 1);
  const bool plain = next_ == 0;

  if (got < last_) {
    last_ = got;
    // A plain read is current as it is; after a blocking one start over.
    next_ = plain ? got : 0;
    return Verdict::kReset;
  }
  if (got == last_ && !plain) {
    if (!returned_early) return Verdict::kWaitEnded;
    next_ = 0;
    return Verdict::kSuspect;
  }
  last_ = got;
  next_ = got;
  return Verdict::kCurrent;
}

}  // namespace meshgate::consul
