#ifndef MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_
#define MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_

#include <memory>
#include <unordered_set>

#include "consul/base/mutex.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// Makes gRPC probes: grpc.health.v1.Health/Check of the target's service, or of the whole server where the target names
// none. SERVING passes, anything else is critical. Every probe opens a connection of its own; with TLS the server is
// verified against the system's roots. Probes of other kinds are critical.
class GrpcProber final : public Prober {
 public:
  GrpcProber() = default;
  ~GrpcProber() override;

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override;
  void Shutdown() override;

 private:
  struct Probing;

  Mutex mu_;
  CondVar idle_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_set<std::shared_ptr<Probing>> active_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_
