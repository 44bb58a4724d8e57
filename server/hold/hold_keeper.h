#ifndef MESHGATE_SERVER_HOLD_HOLD_KEEPER_H_
#define MESHGATE_SERVER_HOLD_HOLD_KEEPER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/check_allow_list.h"
#include "metrics/hold_reporter.h"
#include "server/hold/held_instance.h"
#include "server/hold/hold_plan.h"

namespace meshgate::server {

// One stream's claim on an instance. What it says after the instance went to somebody else is ignored. Thread-safe.
class Hold {
 public:
  Hold(std::shared_ptr<HeldInstance> instance, HeldInstance::Ticket ticket)
      : instance_(std::move(instance)), ticket_(ticket) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  // Whether the instance is registered and passes for what was reported; nothing until that is known.
  std::optional<bool> registered() const { return instance_->registered(); }

  // The health that heartbeats report from now on.
  void Report(consul::Health health) { instance_->Report(ticket_, health); }

  // How a claim ends, the first one counts. Deregisters at once, and tells the listener when that is done:
  void Release() { instance_->Release(ticket_); }
  // Deregisters after the linger, unless another stream takes the instance before:
  void Lose() { instance_->Lose(ticket_); }
  // Leaves the instance registered, to whoever takes it next and to its TTL:
  void Abandon() { instance_->Abandon(ticket_); }

 private:
  const std::shared_ptr<HeldInstance> instance_;
  const HeldInstance::Ticket ticket_;
};

// Keeps instances registered and passing for as long as their streams live: all that one gateway holds.
//
// An instance belongs to the stream that asked for its id last. Callers' own writes to a held id go through here, so
// that they neither meet the keeper's on their way nor are undone by it: they end the hold. Thread-safe; never blocks.
class HoldKeeper {
 public:
  // All outlive the keeper. Equal seeds give equal jitter.
  HoldKeeper(consul::Backend* backend, Scheduler* scheduler, metrics::HoldReporter* reporter,
             uint64_t seed = std::random_device()(), consul::CheckAllowList check_allow = {});
  // Stop() must have been called, and the backend be shut down, where an instance is still held.
  ~HoldKeeper() { Stop(); }
  HoldKeeper(const HoldKeeper&) = delete;
  HoldKeeper& operator=(const HoldKeeper&) = delete;

  // Where checks of what comes here may lead: for whoever takes a registration from a caller to ask first.
  const consul::CheckAllowList& check_allow() const { return check_allow_; }

  // Takes an instance for `listener`, from another stream if need be, which ends with ABORTED (TAKEN_OVER). The
  // listener may be called before this returns; it is told the end with
  //   - what Consul said, where it refuses the registration for what it is or for the gateway's token;
  //   - ABORTED: TAKEN_OVER by another stream or a caller's Register, DEREGISTERED by a caller;
  //   - UNAVAILABLE (DRAINING) after Stop().
  // Anything that may pass is tried again for as long as it takes.
  //
  // An instance that is held already is taken where its service is among `may_take`, if that is given; otherwise this
  // is null, and the listener is told nothing.
  std::unique_ptr<Hold> Take(HoldPlan plan, consul::Health health, absl::Duration linger,
                             const std::shared_ptr<HoldListener>& listener,
                             const std::vector<std::string>* may_take = nullptr);

  // The service of the instance with this id, where it is held.
  std::optional<std::string> HeldService(const std::string& id);

  // A caller's Register or Deregister of an id, which ends its hold where that succeeds (and for Deregister also where
  // nothing was there). As Backend's, except that `done` may come later than the timeout by that of the calls that are
  // under way for the same id, and be RESOURCE_EXHAUSTED where those are many.
  void Register(const consul::Registration& registration, const consul::WriteOptions& options,
                consul::Backend::DoneCallback done);
  void Deregister(const std::string& id, const consul::WriteOptions& options, consul::Backend::DoneCallback done);

  // Forgets all of them, and leaves them registered. Nobody is called any more, once the backend is shut down, too.
  // Idempotent.
  void Stop();

 private:
  // Shared with the instances, which may outlive the keeper by a callback.
  struct Held {
    Mutex mu;
    bool stopped ABSL_GUARDED_BY(mu) = false;
    absl::flat_hash_map<std::string, std::shared_ptr<HeldInstance>> by_id ABSL_GUARDED_BY(mu);
    std::mt19937_64 seeds ABSL_GUARDED_BY(mu);
  };

  // Makes one where there is none. Null after Stop().
  std::shared_ptr<HeldInstance> FindOrMake(const std::string& id);
  std::shared_ptr<HeldInstance> Find(const std::string& id);
  void Forget(const std::string& id, const std::shared_ptr<HeldInstance>& instance);
  void RunApart(const std::string& id, ApartWrite write);

  const HoldEnvironment environment_;
  const consul::CheckAllowList check_allow_;
  const std::shared_ptr<Held> held_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HOLD_KEEPER_H_
