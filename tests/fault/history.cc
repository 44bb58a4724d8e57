#include "tests/fault/history.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace meshgate::fault {
namespace {

absl::Time Monotonic() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

void Apply(const Response& response, Holding& holding) {
  if (response.snapshot) holding.clear();
  for (const Event& event : response.events) {
    if (event.put) {
      holding[event.name] = event.held;
    } else {
      holding.erase(event.name);
    }
  }
}

History::History() : began_(Monotonic()) {}

absl::Duration History::Now() const { return Monotonic() - began_; }

size_t History::Begun(Write write) {
  MutexLock lock(mu_);
  write.begin = Now();
  write.end = absl::InfiniteDuration();
  write.outcome = Outcome::kUnknown;
  record_.writes.push_back(std::move(write));
  return record_.writes.size() - 1;
}

void History::Ended(size_t number, Outcome outcome, uint64_t modify_index) {
  MutexLock lock(mu_);
  Write& write = record_.writes[number];
  write.outcome = outcome;
  write.modify_index = modify_index;
  if (outcome == Outcome::kAcknowledged) ++acknowledged_;
  // One that is open may be applied at any later time.
  if (outcome != Outcome::kUnknown) write.end = Now();
}

int History::AddSubscriber(std::string name, Target target) {
  MutexLock lock(mu_);
  record_.subscribers.push_back({std::move(name), std::move(target), {}, {}, false});
  return static_cast<int>(record_.subscribers.size()) - 1;
}

void History::Received(int subscriber, Response response) {
  MutexLock lock(mu_);
  response.at = Now();
  SubscriberLog& log = record_.subscribers[static_cast<size_t>(subscriber)];
  Apply(response, log.holding);
  log.stale = response.stale;
  log.responses.push_back(std::move(response));
  ++received_;
  changed_.NotifyAll();
}

void History::LossBegins() {
  MutexLock lock(mu_);
  record_.losses.push_back({Now()});
}

void History::LossEnds() {
  MutexLock lock(mu_);
  record_.losses.back().end = Now();
}

bool History::WaitUntil(const std::function<bool(const std::vector<SubscriberLog>&)>& holds, absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  MutexLock lock(mu_);
  while (!holds(record_.subscribers)) {
    if (!changed_.WaitUntil(mu_, until)) return holds(record_.subscribers);
  }
  return true;
}

int64_t History::acknowledged() const {
  MutexLock lock(mu_);
  return acknowledged_;
}

int64_t History::received() const {
  MutexLock lock(mu_);
  return received_;
}

Record History::record() const {
  MutexLock lock(mu_);
  return record_;
}

}  // namespace meshgate::fault
