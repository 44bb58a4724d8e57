#ifndef MESHGATE_CONSUL_EMBEDDED_PROBER_H_
#define MESHGATE_CONSUL_EMBEDDED_PROBER_H_

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "consul/types.h"

namespace meshgate::consul::embedded {

struct ProbeResult {
  Health health = Health::kCritical;
  // For humans: what answered, or why nothing did. At most about 4 KiB.
  std::string output;
};

// Asks an instance whether it is healthy, once. Thread-safe.
class Prober {
 public:
  using Callback = absl::AnyInvocable<void(ProbeResult)>;

  virtual ~Prober() = default;

  // Returns at once; `done` runs exactly once, at the latest about `timeout` later, on a thread of the prober or, where
  // nothing can be asked (it is stopped), inside the call. It must not block. `check` is not a TTL check.
  virtual void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) = 0;

  // Ends the probes in progress, whose callbacks have all run when it returns; later probes are critical at once.
  // Idempotent; not to be called from a callback.
  virtual void Shutdown() = 0;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_PROBER_H_
