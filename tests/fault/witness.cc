#include "tests/fault/witness.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "tests/fault/consul_client.h"

namespace meshgate::fault {
namespace {

constexpr absl::Duration kEvery = absl::Milliseconds(10);
// As long as a gateway's reader would wait for another answer before it is told.
constexpr absl::Duration kPatience = absl::Seconds(5);
// Consul may also hold a query until there is a leader: others then fare otherwise.
constexpr absl::Duration kAtOnce = absl::Milliseconds(100);

}  // namespace

Witness::Witness(std::string url) : thread_([this, url = std::move(url)] { Run(url); }) {}

Witness::Seen Witness::Stop() {
  {
    MutexLock lock(mu_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mu_);
  return seen_;
}

void Witness::Run(const std::string& url) {
  ConsulClient client(url, kPatience);
  bool there = false;
  absl::Time failing_since = absl::InfiniteFuture();
  while (true) {
    const absl::Time asked = absl::Now();
    // What a watch asks for: an answer of the leader's.
    const int code = client.Call("GET", "/v1/kv/witness").code;
    const bool answered = code == 200 || code == 404;
    MutexLock lock(mu_);
    if (std::exchange(there, answered) && !answered) ++seen_.outages;
    const absl::Time now = absl::Now();
    failing_since = answered || now - asked > kAtOnce ? absl::InfiniteFuture() : std::min(failing_since, asked);
    seen_.longest = std::max(seen_.longest, now - failing_since);
    if (!stop_) changed_.WaitUntil(mu_, absl::Now() + kEvery);
    if (stop_) return;
  }
}

}  // namespace meshgate::fault
