#include "tests/fault/witness.h"

#include <utility>

#include "absl/time/clock.h"
#include "tests/fault/consul_client.h"

namespace meshgate::fault {
namespace {

constexpr absl::Duration kEvery = absl::Milliseconds(10);
// As long as a gateway's reader would wait for another answer before it is told.
constexpr absl::Duration kPatience = absl::Seconds(5);

}  // namespace

Witness::Witness(std::string url) : thread_([this, url = std::move(url)] { Run(url); }) {}

int Witness::Stop() {
  {
    MutexLock lock(mu_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mu_);
  return outages_;
}

void Witness::Run(const std::string& url) {
  ConsulClient client(url, kPatience);
  bool there = false;
  while (true) {
    // What a watch asks for: an answer of the leader's.
    const int code = client.Call("GET", "/v1/kv/witness").code;
    const bool answered = code == 200 || code == 404;
    MutexLock lock(mu_);
    if (std::exchange(there, answered) && !answered) ++outages_;
    if (!stop_) changed_.WaitUntil(mu_, absl::Now() + kEvery);
    if (stop_) return;
  }
}

}  // namespace meshgate::fault
