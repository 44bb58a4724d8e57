#ifndef MESHGATE_SERVER_CONSUL_EVENTS_H_
#define MESHGATE_SERVER_CONSUL_EVENTS_H_

#include <functional>
#include <string_view>
#include <utility>

#include "consul/base/mutex.h"
#include "consul/reporter.h"

namespace meshgate::server {

// Writes down what an operator has to know of the way to Consul, one line for each change, and passes on all that it is
// told. An agent that comes and goes is one that is away until calls go out as usual again. Thread-safe.
class ConsulEvents final : public consul::BackendReporter {
 public:
  // `next` outlives it.
  explicit ConsulEvents(consul::BackendReporter* next) : next_(next) {}

  // Called from then on when Consul has come into or gone out of reach, on the backend's thread: must be quick.
  void SetListener(std::function<void()> listener);

  void OnRequest(consul::Endpoint endpoint, int http_code, absl::Duration took) override {
    next_->OnRequest(endpoint, http_code, took);
  }
  void OnConnections(int open) override { next_->OnConnections(open); }
  void OnBreaker(Breaker state) override;
  void OnAgent(std::string_view url) override;

 private:
  consul::BackendReporter* const next_;

  Mutex mu_;
  std::function<void()> listener_ ABSL_GUARDED_BY(mu_);
  bool away_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_CONSUL_EVENTS_H_
