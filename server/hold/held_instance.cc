#include "server/hold/held_instance.h"

#include <algorithm>
#include <utility>

#include "consul/base/errors.h"
#include "server/hold/held_instance_effects.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

using consul::Health;

// Many who lost Consul together must not keep it busy once it is back.
constexpr consul::BackoffOptions kBackoff{absl::Milliseconds(200), absl::Seconds(5)};

// For one call to Consul.
constexpr absl::Duration kMinTimeout = absl::Seconds(2);
constexpr absl::Duration kMaxTimeout = absl::Seconds(10);

// By then Consul has removed an instance that nobody keeps alive.
constexpr absl::Duration kGiveUpAfter = kHoldDeregisterAfter;

// Callers' writes that wait for one instance: while they do it sends no heartbeat.
constexpr size_t kMaxApart = 8;

absl::Status OfAnotherService() {
  return MakeError(absl::StatusCode::kAborted, reason::kTakenOver,
                   "a stream that holds this id for another service came in between: try again");
}

absl::Status TooManyWait() {
  return WithRetryAfter(MakeError(absl::StatusCode::kResourceExhausted, reason::kConsulOverloaded,
                                  "too many writes of this instance are under way, which is held: try again"),
                        absl::Seconds(1));
}

}  // namespace

HeldInstance::HeldInstance(std::string id, const HoldEnvironment& environment, uint64_t seed,
                           std::function<void()> on_gone)
    : id_(std::move(id)),
      environment_(environment),
      on_gone_(std::move(on_gone)),
      backoff_(kBackoff, seed),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

HeldInstance::TakeResult HeldInstance::Take(HoldPlan plan, Health health, absl::Duration linger,
                                            std::weak_ptr<HoldListener> listener,
                                            const std::vector<std::string>* may_take, SharedHoldLease lease,
                                            Ticket* ticket) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (phase_ == Phase::kGone) return TakeResult::kGone;
    if (may_take != nullptr && plan_ != nullptr &&
        std::find(may_take->begin(), may_take->end(), plan_->registration.service) == may_take->end()) {
      return TakeResult::kNotPermitted;
    }
    if (lease != nullptr && lease->revoked()) return TakeResult::kNotPermitted;
    if (phase_ == Phase::kLeaving) {
      // What its stream asked for is nobody's wish any more, and nobody knows how far it got.
      EndStreamLocked(absl::OkStatus(), &effects);
      written_ = nullptr;
      registered_.reset();
      NextNowLocked();
    } else {
      EndStreamLocked(MakeError(absl::StatusCode::kAborted, reason::kTakenOver,
                                "another stream has taken this instance over; don't come back by yourself"),
                      &effects);
    }
    phase_ = Phase::kHeld;
    *ticket = ++ticket_;
    listener_ = std::move(listener);
    linger_ = linger;
    effects.lease = std::exchange(lease_, std::move(lease));
    if (std::exchange(silent_, false)) NextNowLocked();
    if (linger_timer_ != 0) environment_.scheduler->Cancel(std::exchange(linger_timer_, 0));
    if (plan_ == nullptr || !(*plan_ == plan)) {
      plan_ = std::make_shared<const HoldPlan>(std::move(plan));
      registered_.reset();
      NextNowLocked();
    }
    health_ = health;
    if (registered_ == true && reported_ != health_) NextNowLocked();
    if (registered_.has_value()) effects.changed = listener_;
    StepLocked(&effects);
  }
  Run(std::move(effects));
  return TakeResult::kTaken;
}

void HeldInstance::Report(Ticket ticket, Health health) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (ticket != ticket_ || phase_ != Phase::kHeld) return;
    health_ = health;
    // While Consul is away it waits for the next try, which brings it along.
    if (registered_ == true && reported_ != health_) NextNowLocked();
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::Release(Ticket ticket) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (ticket != ticket_ || phase_ != Phase::kHeld) return;
    LeaveLocked();
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::Lose(Ticket ticket) {
  MutexLock lock(mu_);
  if (ticket == ticket_ && phase_ == Phase::kHeld) LingerLocked(linger_);
}

void HeldInstance::Revoke(Ticket ticket) {
  MutexLock lock(mu_);
  if (ticket == ticket_ && phase_ == Phase::kHeld) FallSilentLocked();
}

void HeldInstance::Abandon(Ticket ticket) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (ticket != ticket_ || phase_ != Phase::kHeld) return;
    listener_.reset();
    GoneLocked(&effects);
  }
  Run(std::move(effects));
}

std::optional<bool> HeldInstance::registered() const {
  MutexLock lock(mu_);
  return registered_;
}

bool HeldInstance::Alive() const {
  MutexLock lock(mu_);
  return phase_ != Phase::kGone;
}

std::optional<std::string> HeldInstance::service() const {
  MutexLock lock(mu_);
  if (phase_ == Phase::kGone || plan_ == nullptr) return std::nullopt;
  return plan_->registration.service;
}

bool HeldInstance::RunApart(ApartWrite* write) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (phase_ == Phase::kGone) return false;
    if (apart_.size() >= kMaxApart) {
      environment_.scheduler->Post([done = std::move(write->done)]() mutable { done(TooManyWait()); });
      return true;
    }
    apart_.push_back(std::move(*write));
    StepLocked(&effects);
  }
  Run(std::move(effects));
  return true;
}

void HeldInstance::Stop() {
  Effects effects;
  {
    MutexLock lock(mu_);
    EndStreamLocked(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "the gateway is stopping"), &effects);
    GoneLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::StepLocked(Effects* effects) {
  if (busy_ || phase_ == Phase::kGone) return;
  while (!apart_.empty()) {
    PopApartLocked(effects);
    busy_ = !effects->apart.empty();
    if (busy_) return;
  }
  // Not taken yet, or by nobody any more.
  if (plan_ == nullptr || silent_) return;
  if (phase_ == Phase::kLeaving && !attempted_) {
    EndStreamLocked(absl::OkStatus(), effects);
    GoneLocked(effects);
    return;
  }
  if (!DueLocked()) {
    ArmLocked();
  } else if (!asked_) {
    asked_ = effects->ask = true;
  }
}

bool HeldInstance::DueLocked() const { return environment_.scheduler->Now() >= next_at_; }

bool HeldInstance::OnTurn() {
  Effects effects;
  {
    MutexLock lock(mu_);
    asked_ = false;
    // Another call's end asks again.
    if (busy_ || phase_ == Phase::kGone || silent_) return false;
    if (phase_ != Phase::kLeaving && lease_ != nullptr && lease_->revoked()) {
      FallSilentLocked();
      return false;
    }
    if (!DueLocked()) {
      ArmLocked();
      return false;
    }
    busy_ = true;
    effects.plan = plan_;
    effects.health = health_;
    if (phase_ == Phase::kLeaving) {
      effects.call = Effects::Call::kDeregister;
    } else if (written_ != plan_) {
      effects.call = Effects::Call::kRegister;
      attempted_ = true;
    } else {
      effects.call = Effects::Call::kHeartbeat;
    }
  }
  Run(std::move(effects));
  return true;
}

void HeldInstance::Run(Effects effects) {
  auto self = shared_from_this();
  for (ApartWrite& write : effects.apart) StartApart(std::move(write));
  for (ApartWrite& write : effects.refused) {
    environment_.scheduler->Post([done = std::move(write.done)]() mutable { done(OfAnotherService()); });
  }
  if (effects.ask) {
    environment_.turns->Ask([weak = weak_from_this()] {
      auto instance = weak.lock();
      return instance != nullptr && instance->OnTurn();
    });
  }
  switch (effects.call) {
    case Effects::Call::kNone:
      break;
    case Effects::Call::kRegister: {
      consul::Registration registration = effects.plan->registration;
      // It is what was reported from its first moment on.
      registration.checks[effects.plan->ttl_position].initial_status = effects.health;
      environment_.backend->Register(registration, OptionsOf(*effects.plan),
                                     [self, plan = effects.plan](absl::Status status) {
                                       self->OnRegistered(plan, std::move(status));
                                       self->environment_.turns->Done();
                                     });
      break;
    }
    case Effects::Call::kHeartbeat:
      environment_.backend->Heartbeat(id_, effects.health, "", OptionsOf(*effects.plan),
                                      [self, plan = effects.plan, health = effects.health](absl::Status status) {
                                        self->OnHeartbeat(plan, health, std::move(status));
                                        self->environment_.turns->Done();
                                      });
      break;
    case Effects::Call::kDeregister:
      environment_.backend->Deregister(id_, OptionsOf(*effects.plan), [self](absl::Status status) {
        self->OnDeregistered(std::move(status));
        self->environment_.turns->Done();
      });
      break;
  }
  if (effects.reregistered) {
    environment_.reporter->OnReregistered();
    Log(LogLevel::kInfo, "registered again: Consul had forgotten a held instance", {{"key", id_}});
  }
  for (auto& [listener, status] : effects.ended) {
    if (auto stream = listener.lock()) stream->OnHoldEnded(std::move(status));
  }
  if (auto stream = effects.changed.lock()) stream->OnHoldChanged();
  if (effects.gone) on_gone_();
}

void HeldInstance::EndStreamLocked(absl::Status status, Effects* effects) {
  effects->ended.emplace_back(std::exchange(listener_, {}), std::move(status));
  // What that stream still says counts no more.
  if (phase_ != Phase::kLeaving) ++ticket_;
}

void HeldInstance::LingerLocked(absl::Duration time) {
  phase_ = Phase::kLingering;
  listener_.reset();
  if (linger_timer_ != 0) environment_.scheduler->Cancel(linger_timer_);
  linger_timer_ = environment_.scheduler->After(time, [weak = weak_from_this(), ticket = ticket_] {
    if (auto self = weak.lock()) self->OnLingered(ticket);
  });
}

void HeldInstance::FallSilentLocked() {
  silent_ = true;
  LingerLocked(std::min(linger_, kRevokedLinger));
}

void HeldInstance::LeaveLocked() {
  phase_ = Phase::kLeaving;
  silent_ = false;
  leave_until_ = environment_.scheduler->Now() + kGiveUpAfter;
  backoff_.Reset();
  NextNowLocked();
}

void HeldInstance::GoneLocked(Effects* effects) {
  if (phase_ == Phase::kGone) return;
  phase_ = Phase::kGone;
  CancelTimersLocked();
  effects->lease = std::move(lease_);
  effects->gone = true;
  // With nothing of its own to come between.
  while (!apart_.empty()) PopApartLocked(effects);
}

void HeldInstance::PopApartLocked(Effects* effects) {
  ApartWrite& write = apart_.front();
  const bool refused = write.permitted.has_value() && plan_ != nullptr &&
                       std::find(write.permitted->begin(), write.permitted->end(), plan_->registration.service) ==
                           write.permitted->end();
  (refused ? effects->refused : effects->apart).push_back(std::move(write));
  apart_.pop_front();
}

void HeldInstance::SetRegisteredLocked(bool registered, Effects* effects) {
  if (registered_ == registered) return;
  registered_ = registered;
  effects->changed = listener_;
}

void HeldInstance::RetryLaterLocked() { NextAfterLocked(backoff_.Next()); }

void HeldInstance::NextAfterLocked(absl::Duration delay) { next_at_ = environment_.scheduler->Now() + delay; }

void HeldInstance::ArmLocked() {
  if (timer_ != 0 && timer_at_ <= next_at_) return;
  if (timer_ != 0) environment_.scheduler->Cancel(timer_);
  timer_at_ = next_at_;
  timer_ = environment_.scheduler->After(next_at_ - environment_.scheduler->Now(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnTimer();
  });
}

void HeldInstance::CancelTimersLocked() {
  for (Scheduler::TimerId* timer : {&timer_, &linger_timer_}) {
    if (*timer != 0) environment_.scheduler->Cancel(std::exchange(*timer, 0));
  }
}

void HeldInstance::OnTimer() {
  Effects effects;
  {
    MutexLock lock(mu_);
    timer_ = 0;
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::OnLingered(Ticket ticket) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (ticket != ticket_ || phase_ != Phase::kLingering) return;
    linger_timer_ = 0;
    LeaveLocked();
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

double HeldInstance::UniformLocked(double from, double to) {
  return std::uniform_real_distribution<double>(from, to)(random_);
}

consul::WriteOptions HeldInstance::OptionsOf(const HoldPlan& plan) const {
  consul::WriteOptions options;
  options.token = plan.token;
  options.timeout = std::clamp(plan.heartbeat_interval, kMinTimeout, kMaxTimeout);
  return options;
}

}  // namespace meshgate::server
