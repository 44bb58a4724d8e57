#include "consul/resilience/backoff.h"

#include <algorithm>
#include <cmath>

namespace meshgate::consul {
namespace {

// SplitMix64: eight bytes of state, as there is one of these per watched target.
uint64_t NextRandom(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

absl::Duration Backoff::Next() {
  const absl::Duration bound = std::min(options_.max, options_.initial * std::exp2(std::min(failures_, 30)));
  ++failures_;
  const double unit = static_cast<double>(NextRandom(random_) >> 11) / static_cast<double>(uint64_t{1} << 53);
  return bound * unit;
}

}  // namespace meshgate::consul
