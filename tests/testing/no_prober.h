#ifndef MESHGATE_TESTS_TESTING_NO_PROBER_H_
#define MESHGATE_TESTS_TESTING_NO_PROBER_H_

#include "consul/embedded/prober.h"

namespace meshgate::testing {

// For tests without checks that have to be made: every probe is critical at once.
class NoProber final : public consul::embedded::Prober {
 public:
  void Probe(const consul::CheckDefinition&, absl::Duration, Callback done) override {
    done({consul::Health::kCritical, "no prober"});
  }
  void Shutdown() override {}
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_NO_PROBER_H_
