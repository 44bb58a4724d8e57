#ifndef MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_
#define MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_

#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// Makes gRPC probes: grpc.health.v1.Health/Check of the target's service, or of the whole server where the target names
// none. SERVING passes, anything else is critical. Every probe opens a connection of its own; with TLS the server is
// verified against the system's roots. Probes of other kinds are critical.
class GrpcProber final : public Prober {
 public:
  GrpcProber();
  ~GrpcProber() override;

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override;
  // The same at `ip`, one of those that the target's name leads to: gRPC would look the name up again. The server is
  // still asked for, and verified, by its name.
  void ProbeAt(const std::string& ip, const CheckDefinition& check, absl::Duration timeout, Callback done);
  void Shutdown() override;

 private:
  struct Probing;
  using Owned = std::unique_ptr<Probing>;

  void OnDone(Probing* probing, ProbeResult result);
  void Reap();

  // Held during Shutdown(), so that a second caller waits for the first.
  Mutex shutdown_mu_;
  Mutex mu_;
  CondVar changed_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_map<Probing*, Owned> active_ ABSL_GUARDED_BY(mu_);
  std::vector<Owned> ended_ ABSL_GUARDED_BY(mu_);

  // Destroys what has ended: a channel whose end stops gRPC's own threads must not be destroyed on one of them. Last,
  // as it uses the others from its first moment on.
  std::thread reaper_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_GRPC_PROBER_H_
