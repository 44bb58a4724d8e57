#include "consul/resilience/circuit_breaker.h"

#include <algorithm>

namespace meshgate::consul {

CircuitBreaker::CircuitBreaker(CircuitBreakerOptions options, uint64_t seed)
    : options_(options), backoff_(options.probes, seed) {}

void CircuitBreaker::OnFailure(absl::Time now) {
  if (state_ == State::kOpen || doubt_) return;
  doubt_ = true;
  next_probe_ = std::max(now, last_probe_ + options_.doubt_pause);
}

void CircuitBreaker::OnAnswer(absl::Time now) {
  unclear_ = 0;
  if (state_ != State::kOpen) return;
  // Not for each of a thousand late answers.
  next_probe_ = std::min(next_probe_, std::max(now, last_probe_ + options_.probes.initial));
}

void CircuitBreaker::OnProbe(Probe probe, bool at_once, absl::Time now) {
  probing_ = false;
  last_probe_ = now;
  unclear_ = probe == Probe::kUnclear ? unclear_ + 1 : 0;
  if (probe == Probe::kAnswered) {
    next_probe_ = absl::InfiniteFuture();
    doubt_ = false;
    if (state_ == State::kOpen) {
      state_ = State::kHalfOpen;
      half_open_since_ = now;
      admitted_ = 0;
    }
    if (state_ == State::kClosed) backoff_.Reset();
    return;
  }
  if (probe == Probe::kAway || unclear_ >= options_.unclear_probes) {
    state_ = State::kOpen;
    doubt_ = false;
  }
  next_probe_ = at_once ? now : now + backoff_.Next();
}

bool CircuitBreaker::Admit(absl::Time now) {
  if (state_ != State::kHalfOpen) return state_ == State::kClosed;
  if (doubt_) return false;
  const int64_t places = options_.first_calls * ((int64_t{2} << Steps(now)) - 1);
  if (admitted_ >= places) return false;
  ++admitted_;
  return true;
}

void CircuitBreaker::Advance(absl::Time now) {
  if (state_ != State::kHalfOpen || doubt_ || Steps(now) < options_.ramp_steps) return;
  state_ = State::kClosed;
  backoff_.Reset();
}

absl::Time CircuitBreaker::NextChange(absl::Time now) const {
  if (state_ != State::kHalfOpen || doubt_) return absl::InfiniteFuture();
  return half_open_since_ + options_.ramp_step * (Steps(now) + 1);
}

int CircuitBreaker::Steps(absl::Time now) const {
  absl::Duration rest;
  const int64_t steps = absl::IDivDuration(now - half_open_since_, options_.ramp_step, &rest);
  return static_cast<int>(std::clamp<int64_t>(steps, 0, options_.ramp_steps));
}

}  // namespace meshgate::consul
