#ifndef MESHGATE_SERVER_HOLD_HELD_INSTANCE_H_
#define MESHGATE_SERVER_HOLD_HELD_INSTANCE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/resilience/backoff.h"
#include "metrics/hold_reporter.h"
#include "server/hold/hold_lease.h"
#include "server/hold/hold_plan.h"
#include "server/hold/turns.h"

namespace meshgate::server {

// A stream that holds an instance. Called from any thread, without a lock held; must not block.
class HoldListener {
 public:
  virtual ~HoldListener() = default;
  // Hold::registered() may have changed.
  virtual void OnHoldChanged() = 0;
  // The instance is not this stream's any more: OK after Hold::Release(), otherwise why. Called at most once.
  virtual void OnHoldEnded(absl::Status status) = 0;
};

// A write to the same instance that is not the hold's own, such as a caller's Deregister.
struct ApartWrite {
  // Calls its argument exactly once, not inside the call.
  absl::AnyInvocable<void(consul::Backend::DoneCallback)> write;
  consul::Backend::DoneCallback done;
  // Whether an outcome means that the hold is over.
  bool (*ends_hold)(const absl::Status& outcome) = nullptr;
  // What the stream that held it is then told.
  std::function<absl::Status()> ending;
  // Where that is given: the services whose instances the caller may write. What is held of another one when its turn
  // has come is left alone, and `done` told ABORTED (TAKEN_OVER).
  std::optional<std::vector<std::string>> permitted;
};

// How long at most an instance stays registered whose holder may not hold it any more.
inline constexpr absl::Duration kRevokedLinger = absl::Seconds(10);

// What all of them share; it outlives them up to HeldInstance::Stop().
struct HoldEnvironment {
  consul::Backend* backend;
  Scheduler* scheduler;
  metrics::HoldReporter* reporter;
  // Many that come at once, or come back after an outage, leave Consul's connections to others, too.
  std::shared_ptr<Turns> turns;
};

// One id that is held: makes Consul agree with what its stream wants, for as long as that lives and `linger` longer.
//
// It has one call to Consul under way at most, so that what is written last is what was wanted last, and one timer: for
// the next heartbeat or the next try. A change of what is wanted waits for the call and is then acted upon at once.
// What to call is decided when its turn among all of them has come.
//
//   held ──stream lost──► lingering ──time──► leaving ──deregistered──► gone
//     ▲───a new stream, from any of them────────┘ ▲
//     └───────half-close──────────────────────────┘
//
// Once its lease is revoked it lingers for kRevokedLinger at most and sends nothing: what was taken away by mistake,
// and given back soon, is still there to be held, and what was not is deregistered.
//
// Streams are told apart by a ticket: what one says after another one has taken the instance over is ignored.
// Thread-safe.
class HeldInstance : public std::enable_shared_from_this<HeldInstance> {
 public:
  using Ticket = uint64_t;

  // `on_gone` is called once, without a lock held, when nothing of it is left to do.
  HeldInstance(std::string id, const HoldEnvironment& environment, uint64_t seed, std::function<void()> on_gone);

  enum class TakeResult {
    kTaken,
    // Make another.
    kGone,
    // It is one of a service that is not among those that the stream may take; or the lease was revoked.
    kNotPermitted,
  };
  // A stream takes the instance, from another one if need be, which is told ABORTED (TAKEN_OVER). Where `plan` equals
  // the one that is registered nothing is written. `may_take` null: from anybody. `lease` null: for ever.
  TakeResult Take(HoldPlan plan, consul::Health health, absl::Duration linger, std::weak_ptr<HoldListener> listener,
                  const std::vector<std::string>* may_take, SharedHoldLease lease, Ticket* ticket);

  void Report(Ticket ticket, consul::Health health);
  // Deregisters at once. The listener is told OK when that is done, or the error; one that may pass is then tried again
  // without it.
  void Release(Ticket ticket);
  // Deregisters after `linger`, unless somebody takes it before.
  void Lose(Ticket ticket);
  // The lease was revoked, as its stream knows already.
  void Revoke(Ticket ticket);
  // Forgets it, and leaves it registered.
  void Abandon(Ticket ticket);

  // Whether it is registered and passes for what was reported; nothing until that is known of the present plan.
  std::optional<bool> registered() const;

  // False once nothing of it is left to do.
  bool Alive() const;

  // What it is an instance of, while it is held.
  std::optional<std::string> service() const;

  // Runs a write between the hold's own; where too many wait already it is told RESOURCE_EXHAUSTED, not inside the
  // call. False: it is gone, and `write` is untouched.
  bool RunApart(ApartWrite* write);

  // Forgets it. Nothing of the environment is used once this has returned and the backend is shut down; a listener is
  // told UNAVAILABLE (DRAINING).
  void Stop();

 private:
  enum class Phase { kHeld, kLingering, kLeaving, kGone };
  // What the lock kept from being done at once.
  struct Effects;

  void Run(Effects effects);
  void StepLocked(Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool DueLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool OnTurn();
  void OnRegistered(const SharedHoldPlan& plan, absl::Status status);
  void OnHeartbeat(const SharedHoldPlan& plan, consul::Health health, absl::Status status);
  void OnDeregistered(absl::Status status);
  void OnApart(const absl::Status& status, bool (*ends_hold)(const absl::Status&), absl::Status ending,
               consul::Backend::DoneCallback done);

  // To what is to be started, or is refused.
  void PopApartLocked(Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartApart(ApartWrite write);
  void RefusedLocked(absl::Status status, Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndStreamLocked(absl::Status status, Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LingerLocked(absl::Duration time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FallSilentLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GoneLocked(Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetRegisteredLocked(bool registered, Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What failed is tried again after the backoff's next delay.
  void RetryLaterLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NextAfterLocked(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NextNowLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { next_at_ = absl::InfinitePast(); }
  void ArmLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CancelTimersLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer();
  void OnLingered(Ticket ticket);
  double UniformLocked(double from, double to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  consul::WriteOptions OptionsOf(const HoldPlan& plan) const;

  // Constant after construction.
  const std::string id_;
  const HoldEnvironment environment_;
  const std::function<void()> on_gone_;

  mutable Mutex mu_;
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kHeld;
  Ticket ticket_ ABSL_GUARDED_BY(mu_) = 0;
  // The stream that has not been told of an end; empty where there is none.
  std::weak_ptr<HoldListener> listener_ ABSL_GUARDED_BY(mu_);
  absl::Duration linger_ ABSL_GUARDED_BY(mu_);
  SharedHoldLease lease_ ABSL_GUARDED_BY(mu_);
  // It lingers without a lease.
  bool silent_ ABSL_GUARDED_BY(mu_) = false;

  // What is wanted.
  SharedHoldPlan plan_ ABSL_GUARDED_BY(mu_);
  consul::Health health_ ABSL_GUARDED_BY(mu_) = consul::Health::kPassing;

  // What Consul is known to have; null: not known.
  SharedHoldPlan written_ ABSL_GUARDED_BY(mu_);
  std::optional<consul::Health> reported_ ABSL_GUARDED_BY(mu_);
  // The last plan that Consul has taken, ever: it is not refused for what it is.
  SharedHoldPlan accepted_ ABSL_GUARDED_BY(mu_);
  // It was registered, and a heartbeat did not find it.
  bool forgotten_ ABSL_GUARDED_BY(mu_) = false;
  // A registration was sent, so that something may be there.
  bool attempted_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<bool> registered_ ABSL_GUARDED_BY(mu_);

  // It waits for its turn.
  bool asked_ ABSL_GUARDED_BY(mu_) = false;
  // One call is under way.
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<ApartWrite> apart_ ABSL_GUARDED_BY(mu_);
  absl::Time next_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  absl::Time leave_until_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time timer_at_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId linger_timer_ ABSL_GUARDED_BY(mu_) = 0;
  consul::Backoff backoff_ ABSL_GUARDED_BY(mu_);
  std::minstd_rand random_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HELD_INSTANCE_H_
