#ifndef MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_
#define MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_

#include <memory>
#include <thread>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// Makes HTTP and TCP probes, all on one thread of its own; probes of other kinds are critical.
//
// HTTP as Consul's agent has it: 2xx passes, 429 warns, anything else is critical; redirects are followed, up to ten
// and to http and https only. Link-local addresses are never connected to, whatever name or redirect leads there. Every
// probe opens a connection of its own, without a proxy. TCP: a connection that is made passes.
class CurlProber final : public Prober {
 public:
  CurlProber();
  ~CurlProber() override;

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override;
  void Shutdown() override;

 private:
  struct Transfer;
  class Loop;

  const std::unique_ptr<Loop> loop_;
  // Held during Shutdown(), so that a second caller waits for the first.
  Mutex shutdown_mu_;
  std::thread thread_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_
