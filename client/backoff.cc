#include "client/backoff.h"

#include <algorithm>

namespace meshgate::client {

Backoff::Backoff(const BackoffOptions& options, uint64_t seed)
    : options_(options), random_(seed), base_(options.initial) {}

absl::Duration Backoff::Next() {
  const absl::Duration base = base_;
  base_ = std::min(base_ * options_.multiplier, options_.max);
  return base * std::uniform_real_distribution<double>(1 - options_.jitter, 1)(random_);
}

void Backoff::Reset() { base_ = options_.initial; }

}  // namespace meshgate::client
