#ifndef MESHGATE_CONSUL_RESILIENCE_BACKOFF_H_
#define MESHGATE_CONSUL_RESILIENCE_BACKOFF_H_

#include <cstdint>

#include "absl/time/time.h"

namespace meshgate::consul {

struct BackoffOptions {
  // Upper bound of the first delay; each later one may be twice as long, up to `max`.
  absl::Duration initial = absl::Milliseconds(100);
  absl::Duration max = absl::Seconds(2);
};

// Exponential backoff with full jitter: each delay is drawn evenly from nothing to the current bound, so that many who
// failed together do not come back together (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog).
// One per operation; not thread-safe.
class Backoff {
 public:
  // Equal seeds give equal delays.
  Backoff(BackoffOptions options, uint64_t seed) : options_(options), random_(seed) {}

  // How long to wait before the next try.
  absl::Duration Next();

  // After a success.
  void Reset() { failures_ = 0; }

 private:
  const BackoffOptions options_;
  uint64_t random_;
  int failures_ = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_RESILIENCE_BACKOFF_H_
