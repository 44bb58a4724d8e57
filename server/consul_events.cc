#include "server/consul_events.h"

#include "server/log.h"

namespace meshgate::server {

void ConsulEvents::SetListener(std::function<void()> listener) {
  MutexLock lock(mu_);
  listener_ = std::move(listener);
}

void ConsulEvents::OnBreaker(Breaker state) {
  bool was_away;
  std::function<void()> listener;
  {
    MutexLock lock(mu_);
    was_away = away_;
    if (state != Breaker::kHalfOpen) away_ = state == Breaker::kOpen;
    listener = listener_;
  }
  next_->OnBreaker(state);
  switch (state) {
    case Breaker::kOpen:
      if (!was_away)
        Log(LogLevel::kWarn, "Consul does not answer, or has no leader: calls fail at once until it is back");
      break;
    case Breaker::kHalfOpen:
      Log(LogLevel::kDebug, "Consul answers: calls are let through, more and more of them");
      break;
    case Breaker::kClosed:
      if (was_away) Log(LogLevel::kInfo, "Consul is back: calls go out as usual");
      break;
  }
  if (listener) listener();
}

void ConsulEvents::OnAgent(std::string_view url) {
  next_->OnAgent(url);
  Log(LogLevel::kWarn, "another Consul agent is used now: it does not know what was registered with the one before",
      {{"address", url}});
}

}  // namespace meshgate::server
