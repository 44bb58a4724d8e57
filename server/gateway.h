#ifndef MESHGATE_SERVER_GATEWAY_H_
#define MESHGATE_SERVER_GATEWAY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "server/options.h"

namespace meshgate::server {

// Makes the backend that the options ask for. The scheduler and the reporter outlive it.
using BackendFactory = std::function<absl::StatusOr<std::unique_ptr<consul::Backend>>(
    const Options& options, Scheduler* scheduler, consul::BackendReporter* reporter)>;

// The process: every part, made in order and stopped in order. Start() and Drain() are called by one thread.
class Gateway {
 public:
  // Serves when it returns. An error says in one sentence what cannot be used, and with which option it was chosen.
  // The store need not be reachable yet.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const Options& options, const BackendFactory& make_backend);

  // Same as Drain().
  ~Gateway();

  // Where it listens, with ports that were chosen for port 0.
  const std::vector<std::string>& grpc_addresses() const;
  const std::string& http_address() const;

  // Stops, within `drain_timeout`:
  //   1. reports itself as not serving (gRPC health, /readyz) and waits for `drain_delay`;
  //   2. ends every stream with UNAVAILABLE (DRAINING) and a RetryInfo, and takes no new calls;
  //   3. waits for the calls in progress, and when time is short fails them;
  //   4. forgets held registrations, which stay with Consul, and stops the hub, the backend, HTTP and the threads.
  // Idempotent.
  void Drain();

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GATEWAY_H_
