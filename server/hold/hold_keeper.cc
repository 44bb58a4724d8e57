#include "server/hold/hold_keeper.h"

#include <utility>
#include <vector>

#include "consul/base/errors.h"

namespace meshgate::server {
namespace {

// Enough for thousands of heartbeats a second, and a small share of the connections that unary calls have.
constexpr int kCallsAtATime = 8;

}  // namespace

HoldKeeper::HoldKeeper(consul::Backend* backend, Scheduler* scheduler, metrics::HoldReporter* reporter, uint64_t seed,
                       consul::CheckAllowList check_allow)
    : environment_{backend, scheduler, reporter, std::make_shared<Turns>(kCallsAtATime)},
      check_allow_(std::move(check_allow)),
      held_(std::make_shared<Held>()) {
  MutexLock lock(held_->mu);
  held_->seeds.seed(seed);
}

std::unique_ptr<Hold> HoldKeeper::Take(HoldPlan plan, consul::Health health, absl::Duration linger,
                                       const std::shared_ptr<HoldListener>& listener,
                                       const std::vector<std::string>* may_take) {
  const std::string id = plan.registration.id;
  while (std::shared_ptr<HeldInstance> instance = FindOrMake(id)) {
    HeldInstance::Ticket ticket = 0;
    switch (instance->Take(plan, health, linger, listener, may_take, &ticket)) {
      case HeldInstance::TakeResult::kTaken:
        return std::make_unique<Hold>(std::move(instance), ticket);
      case HeldInstance::TakeResult::kNotPermitted:
        return nullptr;
      case HeldInstance::TakeResult::kGone:
        Forget(id, instance);
        break;
    }
  }
  listener->OnHoldEnded(MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "the gateway is stopping"));
  return nullptr;
}

std::optional<std::string> HoldKeeper::HeldService(const std::string& id) {
  const std::shared_ptr<HeldInstance> instance = Find(id);
  if (instance == nullptr) return std::nullopt;
  return instance->service();
}

void HoldKeeper::Register(const consul::Registration& registration, const consul::WriteOptions& options,
                          consul::Backend::DoneCallback done) {
  ApartWrite write;
  write.write = [backend = environment_.backend, registration, options](consul::Backend::DoneCallback written) {
    backend->Register(registration, options, std::move(written));
  };
  write.done = std::move(done);
  write.ends_hold = [](const absl::Status& outcome) { return outcome.ok(); };
  write.ending = [] {
    return MakeError(absl::StatusCode::kAborted, reason::kTakenOver,
                     "a Register has taken this instance over; it stays registered");
  };
  RunApart(registration.id, std::move(write));
}

void HoldKeeper::Deregister(const std::string& id, const consul::WriteOptions& options,
                            consul::Backend::DoneCallback done) {
  ApartWrite write;
  write.write = [backend = environment_.backend, id, options](consul::Backend::DoneCallback written) {
    backend->Deregister(id, options, std::move(written));
  };
  write.done = std::move(done);
  write.ends_hold = [](const absl::Status& outcome) {
    return outcome.ok() || ReasonOf(outcome) == reason::kInstanceNotFound;
  };
  write.ending = [] {
    return MakeError(absl::StatusCode::kAborted, reason::kDeregistered,
                     "a Deregister has removed this instance; don't come back by yourself");
  };
  RunApart(id, std::move(write));
}

void HoldKeeper::Stop() {
  std::vector<std::shared_ptr<HeldInstance>> instances;
  {
    MutexLock lock(held_->mu);
    held_->stopped = true;
    for (const auto& [id, instance] : held_->by_id) instances.push_back(instance);
  }
  for (const auto& instance : instances) instance->Stop();
}

std::shared_ptr<HeldInstance> HoldKeeper::FindOrMake(const std::string& id) {
  std::shared_ptr<HeldInstance> made;
  {
    MutexLock lock(held_->mu);
    if (held_->stopped) return nullptr;
    std::shared_ptr<HeldInstance>& instance = held_->by_id[id];
    if (instance != nullptr) return instance;
    made = instance = std::make_shared<HeldInstance>(
        id, environment_, held_->seeds(), [weak = std::weak_ptr<Held>(held_), id, reporter = environment_.reporter] {
          reporter->OnHeld(-1);
          const auto held = weak.lock();
          if (held == nullptr) return;
          std::shared_ptr<HeldInstance> gone;
          MutexLock lock(held->mu);
          const auto it = held->by_id.find(id);
          // Another one may be there already.
          if (it == held->by_id.end() || it->second->Alive()) return;
          gone = std::move(it->second);
          held->by_id.erase(it);
        });
  }
  environment_.reporter->OnHeld(1);
  return made;
}

std::shared_ptr<HeldInstance> HoldKeeper::Find(const std::string& id) {
  MutexLock lock(held_->mu);
  const auto it = held_->by_id.find(id);
  return it == held_->by_id.end() ? nullptr : it->second;
}

void HoldKeeper::Forget(const std::string& id, const std::shared_ptr<HeldInstance>& instance) {
  MutexLock lock(held_->mu);
  const auto it = held_->by_id.find(id);
  if (it != held_->by_id.end() && it->second == instance) held_->by_id.erase(it);
}

void HoldKeeper::RunApart(const std::string& id, ApartWrite write) {
  const std::shared_ptr<HeldInstance> instance = Find(id);
  if (instance != nullptr && instance->RunApart(&write)) return;
  write.write(std::move(write.done));
}

}  // namespace meshgate::server
