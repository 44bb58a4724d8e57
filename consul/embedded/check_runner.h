#ifndef MESHGATE_CONSUL_EMBEDDED_CHECK_RUNNER_H_
#define MESHGATE_CONSUL_EMBEDDED_CHECK_RUNNER_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "consul/base/mutex.h"
#include "consul/base/tasks.h"
#include "consul/check_allow_list.h"
#include "consul/embedded/catalog.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// One check of one registration, as it was registered.
struct CheckRef {
  std::shared_ptr<const Registration> registration;
  int position = 0;
};

// Keeps the time of all checks: probes in their intervals, TTLs that run out, instances that were critical for too
// long. It decides nothing about the state: what it finds it reports, and it is told what became of that.
//
// A check has one report under way at most, however long the disk takes: what a probe finds meanwhile waits for the
// next one. A report that is lost (the disk was full) is made again: by the next probe, after another TTL, and for a
// deregistration after a minute. Thread-safe.
class CheckRunner {
 public:
  // Called without a lock held; must not block.
  class Sink {
   public:
    using Done = absl::AnyInvocable<void()>;

    virtual ~Sink() = default;
    // `done` runs once: after Update() where the status was recorded, and when it was lost too. Not inside the call.
    virtual void OnStatus(const CheckRef& check, Health health, std::string output, Done done) = 0;
    virtual void OnCriticalTooLong(const CheckRef& check) = 0;
  };

  // The pointers outlive this. Checks that `check_allow` refuses are critical, without being made.
  CheckRunner(Tasks* tasks, Prober* prober, Sink* sink, CheckAllowList check_allow)
      : tasks_(tasks), prober_(prober), sink_(sink), check_allow_(std::move(check_allow)) {}

  // Runs the checks of a registration in place of those of the same id. Their first probe follows at once, spread over
  // a second so that a restart does not make all of them in one moment; a TTL begins anew.
  void Start(const SharedRecord& record);
  void Stop(const std::string& id);

  // The statuses of a registration that is running have changed to these.
  void Update(const SharedRecord& record);

  // A TTL check was reported: its time begins anew. False: it has run out and that is being recorded, or it is not
  // running.
  bool Beat(const std::string& id);

  // Nothing is reported any more once it has returned; timers are cancelled. The prober has to be shut down after it.
  void Shutdown();

 private:
  struct Check;
  using SharedCheck = std::shared_ptr<Check>;
  using Checks = std::vector<SharedCheck>;

  static void Close(const Checks& checks);
  void CheckTtl(const SharedCheck& check);
  void Probe(const SharedCheck& check);
  void Report(const SharedCheck& check, Health health, std::string output);
  void OnProbed(const SharedCheck& check, ProbeResult result);
  void WatchCritical(const SharedCheck& check, absl::Duration after, uint64_t since);

  Tasks* const tasks_;
  Prober* const prober_;
  Sink* const sink_;
  const CheckAllowList check_allow_;

  Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_map<std::string, Checks> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_CHECK_RUNNER_H_
