#ifndef MESHGATE_CLIENT_BACKOFF_H_
#define MESHGATE_CLIENT_BACKOFF_H_

#include <random>

#include "absl/time/time.h"

namespace meshgate::client {

struct BackoffOptions {
  // Before the first retry, before jitter.
  absl::Duration initial = absl::Milliseconds(500);
  absl::Duration max = absl::Seconds(15);
  double multiplier = 1.6;
  // Each delay is drawn from [1 - jitter, 1] of its value, so that the readers of a gateway that restarts do not all
  // come back at once.
  double jitter = 0.5;
};

// The delays between tries: growing, bounded, randomised. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options, uint64_t seed = std::random_device()());

  // The delay before the next try.
  absl::Duration Next();

  // Something worked: start over.
  void Reset();

 private:
  const BackoffOptions options_;
  std::mt19937_64 random_;
  absl::Duration base_;
};

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_BACKOFF_H_
