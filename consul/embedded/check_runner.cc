#include "consul/embedded/check_runner.h"

#include <algorithm>
#include <random>
#include <utility>

namespace meshgate::consul::embedded {
namespace {

constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);
constexpr absl::Duration kSpread = absl::Seconds(1);
constexpr absl::Duration kReapRetry = absl::Minutes(1);

absl::Duration RandomBelow(absl::Duration bound) {
  thread_local std::minstd_rand random(std::random_device{}());
  return bound * std::uniform_real_distribution<double>(0, 1)(random);
}

}  // namespace

struct CheckRunner::Check {
  Check(Tasks* tasks, CheckRef r, Health h) : ref(std::move(r)), health(h), alarm(tasks), reaper(tasks) {}

  const CheckDefinition& definition() const { return ref.registration->checks[ref.position]; }

  const CheckRef ref;
  // Guarded by the runner's mutex, up to the alarms.
  bool stopped = false;
  Health health;
  // Counts the times it became critical.
  uint64_t critical_since = 0;
  absl::Time ttl_end;
  // A status was reported, and nothing came back yet.
  bool reporting = false;

  Alarm alarm;
  Alarm reaper;
};

void CheckRunner::Start(const SharedRecord& record) {
  const Registration& registration = *record->registration;
  Checks checks;
  for (size_t i = 0; i < registration.checks.size(); ++i) {
    checks.push_back(
        std::make_shared<Check>(tasks_, CheckRef{record->registration, static_cast<int>(i)}, record->checks[i].health));
    if (const auto* ttl = std::get_if<TtlProbe>(&registration.checks[i].probe)) {
      checks.back()->ttl_end = tasks_->scheduler()->Now() + ttl->ttl;
    }
  }
  Checks old = checks;
  {
    MutexLock lock(mu_);
    if (shut_down_) return;
    old.swap(running_[registration.id]);
    for (const SharedCheck& check : old) check->stopped = true;
    if (checks.empty()) running_.erase(registration.id);
  }
  Close(old);
  for (const SharedCheck& check : checks) {
    const CheckDefinition& definition = check->definition();
    if (const auto* ttl = std::get_if<TtlProbe>(&definition.probe)) {
      check->alarm.Set(ttl->ttl, [this, check] { CheckTtl(check); });
    } else {
      check->alarm.Set(RandomBelow(std::min(kSpread, definition.interval)), [this, check] { Probe(check); });
    }
    if (record->checks[check->ref.position].health == Health::kCritical) {
      WatchCritical(check, definition.deregister_critical_after, 0);
    }
  }
}

void CheckRunner::Stop(const std::string& id) {
  Checks old;
  {
    MutexLock lock(mu_);
    auto it = running_.find(id);
    if (it == running_.end()) return;
    old = std::move(it->second);
    running_.erase(it);
    for (const SharedCheck& check : old) check->stopped = true;
  }
  Close(old);
}

void CheckRunner::Update(const SharedRecord& record) {
  std::vector<std::pair<SharedCheck, uint64_t>> turned_critical;
  {
    MutexLock lock(mu_);
    auto it = running_.find(record->registration->id);
    if (it == running_.end()) return;
    for (const SharedCheck& check : it->second) {
      if (check->ref.registration != record->registration) return;
      const Health health = record->checks[check->ref.position].health;
      if (std::exchange(check->health, health) == health) continue;
      if (health == Health::kCritical) turned_critical.emplace_back(check, ++check->critical_since);
    }
  }
  for (const auto& [check, since] : turned_critical) {
    WatchCritical(check, check->definition().deregister_critical_after, since);
  }
}

bool CheckRunner::Beat(const std::string& id) {
  MutexLock lock(mu_);
  auto it = running_.find(id);
  if (it == running_.end()) return false;
  for (const SharedCheck& check : it->second) {
    const auto* ttl = std::get_if<TtlProbe>(&check->definition().probe);
    if (ttl == nullptr) continue;
    // The alarm stays where it is: it finds that it is too early.
    check->ttl_end = tasks_->scheduler()->Now() + ttl->ttl;
    return !check->reporting;
  }
  return false;
}

void CheckRunner::Shutdown() {
  std::unordered_map<std::string, Checks> old;
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    old.swap(running_);
    for (const auto& [id, checks] : old) {
      for (const SharedCheck& check : checks) check->stopped = true;
    }
  }
  for (const auto& [id, checks] : old) Close(checks);
}

void CheckRunner::Close(const Checks& checks) {
  for (const SharedCheck& check : checks) {
    check->alarm.Close();
    check->reaper.Close();
  }
}

void CheckRunner::CheckTtl(const SharedCheck& check) {
  const absl::Duration ttl = std::get<TtlProbe>(check->definition().probe).ttl;
  absl::Duration left;
  bool ended = false;
  {
    MutexLock lock(mu_);
    if (check->stopped) return;
    left = check->ttl_end - tasks_->scheduler()->Now();
    if (left <= absl::ZeroDuration()) {
      left = ttl;
      ended = check->health != Health::kCritical && !check->reporting;
      check->reporting |= ended;
    }
  }
  check->alarm.Set(left, [this, check] { CheckTtl(check); });
  if (ended) Report(check, Health::kCritical, "TTL expired");
}

void CheckRunner::Report(const SharedCheck& check, Health health, std::string output) {
  sink_->OnStatus(check->ref, health, std::move(output), [this, check] {
    MutexLock lock(mu_);
    check->reporting = false;
  });
}

void CheckRunner::Probe(const SharedCheck& check) {
  {
    MutexLock lock(mu_);
    if (check->stopped) return;
  }
  const CheckDefinition& definition = check->definition();
  if (auto refusal = check_allow_.Refusal(check->ref.registration->address, definition)) {
    return OnProbed(check, {Health::kCritical, *std::move(refusal)});
  }
  const absl::Duration timeout = definition.timeout > absl::ZeroDuration() ? definition.timeout : kDefaultTimeout;
  prober_->Probe(definition, timeout, [this, check](ProbeResult result) { OnProbed(check, std::move(result)); });
}

void CheckRunner::OnProbed(const SharedCheck& check, ProbeResult result) {
  bool changed;
  {
    MutexLock lock(mu_);
    if (check->stopped) return;
    changed = check->health != result.health && !check->reporting;
    check->reporting |= changed;
  }
  check->alarm.Set(check->definition().interval, [this, check] { Probe(check); });
  if (changed) Report(check, result.health, std::move(result.output));
}

void CheckRunner::WatchCritical(const SharedCheck& check, absl::Duration after, uint64_t since) {
  if (check->definition().deregister_critical_after == absl::ZeroDuration()) return;
  check->reaper.Set(after, [this, check, since] {
    {
      MutexLock lock(mu_);
      if (check->stopped || check->health != Health::kCritical || check->critical_since != since) return;
    }
    WatchCritical(check, kReapRetry, since);
    sink_->OnCriticalTooLong(check->ref);
  });
}

}  // namespace meshgate::consul::embedded
