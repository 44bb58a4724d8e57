// What the answers to a held instance's calls mean for it.
#include <utility>

#include "consul/base/errors.h"
#include "server/hold/held_instance.h"
#include "server/hold/held_instance_effects.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

using consul::Health;

// An answer about the registration itself, or about the gateway's rights: the next try gets the same.
bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

// The holder's own token may not do it any more. The gateway's may again, once somebody has seen to that.
bool IsHoldersLoss(const HoldPlan& plan, const absl::Status& status) {
  return plan.token.has_value() && (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status));
}

// The instance, or its TTL check, is not there.
bool IsForgotten(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  return why == reason::kInstanceNotFound || why == reason::kNoTtlCheck;
}

}  // namespace

void HeldInstance::OnRegistered(const SharedHoldPlan& plan, absl::Status status) {
  Effects effects;
  {
    MutexLock lock(mu_);
    busy_ = false;
    if (phase_ == Phase::kGone) return;
    if (status.ok()) {
      effects.reregistered = std::exchange(forgotten_, false);
      accepted_ = written_ = plan;
      // An instance that was there before keeps the status it had: it has to be told.
      reported_.reset();
      NextNowLocked();
    } else if (phase_ == Phase::kLeaving || plan != plan_) {
      NextNowLocked();
    } else if ((IsRefusal(status) && accepted_ != plan) || IsHoldersLoss(*plan, status)) {
      RefusedLocked(std::move(status), &effects);
    } else {
      SetRegisteredLocked(false, &effects);
      RetryLaterLocked();
    }
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::OnHeartbeat(const SharedHoldPlan& plan, Health health, absl::Status status) {
  Effects effects;
  {
    MutexLock lock(mu_);
    busy_ = false;
    if (phase_ == Phase::kGone) return;
    if (phase_ == Phase::kLeaving || plan != plan_) {
      NextNowLocked();
    } else if (status.ok()) {
      const bool first = registered_ != true;
      reported_ = health;
      backoff_.Reset();
      SetRegisteredLocked(true, &effects);
      // Spread over the whole interval at first, so that those who came together don't stay together.
      NextAfterLocked(plan->heartbeat_interval * (first ? UniformLocked(0.1, 1) : UniformLocked(0.8, 1)));
      if (health != health_) NextNowLocked();
    } else if (IsHoldersLoss(*plan, status)) {
      RefusedLocked(std::move(status), &effects);
    } else if (IsForgotten(status)) {
      written_ = nullptr;
      forgotten_ = true;
      // Forgotten again as soon as it was registered: somebody else removes it.
      const bool at_once = reported_.has_value();
      reported_.reset();
      SetRegisteredLocked(false, &effects);
      at_once ? NextNowLocked() : RetryLaterLocked();
    } else {
      SetRegisteredLocked(false, &effects);
      RetryLaterLocked();
    }
    StepLocked(&effects);
  }
  Run(std::move(effects));
}

void HeldInstance::OnDeregistered(absl::Status status) {
  Effects effects;
  bool gave_up = false;
  {
    MutexLock lock(mu_);
    busy_ = false;
    if (phase_ == Phase::kGone) return;
    if (phase_ != Phase::kLeaving) {
      // Taken over meanwhile; Take() has seen to it that it is registered anew.
    } else if (status.ok() || ReasonOf(status) == reason::kInstanceNotFound) {
      EndStreamLocked(absl::OkStatus(), &effects);
      GoneLocked(&effects);
    } else {
      gave_up = IsRefusal(status) || environment_.scheduler->Now() >= leave_until_;
      EndStreamLocked(std::move(status), &effects);
      if (gave_up) {
        GoneLocked(&effects);
      } else {
        RetryLaterLocked();
      }
    }
    StepLocked(&effects);
  }
  if (gave_up) {
    Log(LogLevel::kWarn, "a held instance could not be deregistered; Consul removes it when its TTL check has failed",
        {{"key", id_}});
  }
  Run(std::move(effects));
}

void HeldInstance::StartApart(ApartWrite write) {
  write.write([self = shared_from_this(), ends_hold = write.ends_hold, ending = std::move(write.ending),
               done = std::move(write.done)](absl::Status status) mutable {
    self->OnApart(status, ends_hold, ending(), std::move(done));
  });
}

void HeldInstance::OnApart(const absl::Status& status, bool (*ends_hold)(const absl::Status&), absl::Status ending,
                           consul::Backend::DoneCallback done) {
  Effects effects;
  {
    MutexLock lock(mu_);
    busy_ = false;
    if (ends_hold(status)) {
      EndStreamLocked(std::move(ending), &effects);
      GoneLocked(&effects);
    } else if (ReasonOf(status) == reason::kWriteOutcomeUnknown) {
      // It may have been done, and the hold's heartbeats would keep alive what somebody else has written.
      written_ = nullptr;
      NextNowLocked();
    }
    StepLocked(&effects);
  }
  Run(std::move(effects));
  done(status);
}

void HeldInstance::RefusedLocked(absl::Status status, Effects* effects) {
  EndStreamLocked(std::move(status), effects);
  if (accepted_ == nullptr) {
    GoneLocked(effects);
    return;
  }
  // What it was before still stands, and nobody wants it.
  LeaveLocked();
}

}  // namespace meshgate::server
