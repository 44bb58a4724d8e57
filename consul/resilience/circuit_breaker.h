#ifndef MESHGATE_CONSUL_RESILIENCE_CIRCUIT_BREAKER_H_
#define MESHGATE_CONSUL_RESILIENCE_CIRCUIT_BREAKER_H_

#include <cstdint>

#include "absl/time/time.h"
#include "consul/resilience/backoff.h"

namespace meshgate::consul {

struct CircuitBreakerOptions {
  // Between probes of an agent that is away: full jitter below a bound that doubles from `initial` to `max`.
  BackoffOptions probes{absl::Milliseconds(50), absl::Milliseconds(500)};
  // An agent that has just answered a probe is not doubted again before this has passed: one target that always fails
  // costs a few probes a second at most.
  absl::Duration doubt_pause = absl::Milliseconds(200);
  // Unclear probes in a row, with no call answered among them, that count as away.
  int unclear_probes = 20;
  // After its return: how many calls go out at once, and how long until as many more as so far, and one time that, may.
  int first_calls = 64;
  absl::Duration ramp_step = absl::Milliseconds(100);
  // Steps until it counts as well again. 64 calls and ten steps are 64,000 calls in the second.
  int ramp_steps = 10;
};

// Decides whether calls go out to an agent, and when it is asked for a sign of life, so that an agent that is away
// costs its callers no time and itself no storm.
//
// Calls alone never open it: one that fails may be about what it asked for, one that is slow about its own work. A
// failure raises a doubt, and a doubt a probe, a small question that any agent that is there answers at once. What the
// probe says decides, so that ten thousand calls that fail and one that fails lead to the same question.
//
//   closed --probe away--> open --probe answered--> half-open --ramp over--> closed
//                           ^-------probe away---------'
//
// No clock, no I/O, no threads: the owner tells the time, sends the probes and holds back the calls. Not thread-safe.
class CircuitBreaker {
 public:
  enum class State { kClosed, kHalfOpen, kOpen };
  // What a probe has shown. kUnclear is a connection that was taken and closed at once, which a limit of connections
  // does as well as a death: it is asked again.
  enum class Probe { kAnswered, kAway, kUnclear };

  // Equal seeds give equal delays between probes.
  CircuitBreaker(CircuitBreakerOptions options, uint64_t seed);

  State state() const { return state_; }

  // A call has failed in a way that an agent that is away would explain.
  void OnFailure(absl::Time now);
  // A call has got an answer, be it a refusal. While open: what was sent before the agent went away tells first that it
  // is back, and the next probe comes sooner.
  void OnAnswer(absl::Time now);

  // When the next probe is due; InfiniteFuture() while none is wanted or one is under way.
  absl::Time next_probe() const { return probing_ ? absl::InfiniteFuture() : next_probe_; }
  void OnProbeSent() { probing_ = true; }
  // `at_once`: where it is away there is another agent to be asked, without waiting.
  void OnProbe(Probe probe, bool at_once, absl::Time now);

  // Whether a call may go out now: always while closed, never while open. While half-open it takes one of the places
  // that there are so far; none are given while there is a doubt.
  bool Admit(absl::Time now);

  // Lets time do its part: closes at the end of the ramp.
  void Advance(absl::Time now);
  // When Admit() or state() may change without anything else happening; InfiniteFuture() unless half-open.
  absl::Time NextChange(absl::Time now) const;

 private:
  // Whole steps of the ramp that have passed.
  int Steps(absl::Time now) const;

  const CircuitBreakerOptions options_;
  Backoff backoff_;
  State state_ = State::kClosed;
  bool doubt_ = false;
  bool probing_ = false;
  int unclear_ = 0;  // probes in a row
  absl::Time next_probe_ = absl::InfiniteFuture();
  absl::Time last_probe_ = absl::InfinitePast();  // when it was over
  absl::Time half_open_since_;
  int64_t admitted_ = 0;  // since then
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_RESILIENCE_CIRCUIT_BREAKER_H_
