#ifndef MESHGATE_CONSUL_RESILIENCE_TOKEN_BUCKET_H_
#define MESHGATE_CONSUL_RESILIENCE_TOKEN_BUCKET_H_

#include "absl/time/time.h"

namespace meshgate::consul {

// Lets `burst` through at once and then one per `interval`. Without a clock of its own; not thread-safe.
class TokenBucket {
 public:
  TokenBucket(int burst, absl::Duration interval) : slack_(interval * (burst - 1)), interval_(interval) {}

  // Takes a token and returns how long its holder has to wait for it, zero where one was there.
  absl::Duration Take(absl::Time now);
  // How long a token that is taken now has to be waited for. Takes none.
  absl::Duration Wait(absl::Time now) const;
  // As it was made.
  bool full(absl::Time now) const { return next_ <= now; }

 private:
  // The generic cell rate algorithm: one time stamp in place of a count and a time.
  const absl::Duration slack_;
  const absl::Duration interval_;
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_RESILIENCE_TOKEN_BUCKET_H_
