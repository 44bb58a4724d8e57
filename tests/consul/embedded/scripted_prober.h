#ifndef MESHGATE_TESTS_CONSUL_EMBEDDED_SCRIPTED_PROBER_H_
#define MESHGATE_TESTS_CONSUL_EMBEDDED_SCRIPTED_PROBER_H_

#include <deque>
#include <utility>

#include "consul/base/mutex.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// A Prober whose answers the test gives. Thread-safe; outlived by what it hands out.
class ScriptedProber final : public Prober {
 public:
  void Probe(const CheckDefinition&, absl::Duration timeout, Callback done) override {
    MutexLock lock(mu_);
    timeout_ = timeout;
    pending_.push_back(std::move(done));
  }

  void Shutdown() override {
    while (Answer(Health::kCritical)) {
    }
  }

  // Answers the oldest probe; false where there is none.
  bool Answer(Health health) {
    Callback done;
    {
      MutexLock lock(mu_);
      if (pending_.empty()) return false;
      done = std::move(pending_.front());
      pending_.pop_front();
    }
    done({health, "scripted"});
    return true;
  }

  size_t pending() {
    MutexLock lock(mu_);
    return pending_.size();
  }
  absl::Duration last_timeout() {
    MutexLock lock(mu_);
    return timeout_;
  }

 private:
  Mutex mu_;
  absl::Duration timeout_ ABSL_GUARDED_BY(mu_);
  std::deque<Callback> pending_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_TESTS_CONSUL_EMBEDDED_SCRIPTED_PROBER_H_
