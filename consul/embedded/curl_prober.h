#ifndef MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_
#define MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_

#include <memory>
#include <thread>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/check_allow_list.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul::embedded {

// Makes HTTP and TCP probes, all on one thread of its own; probes of other kinds are critical.
//
// HTTP as Consul's agent has it: 2xx passes, 429 warns, anything else is critical, redirects too: they are not
// followed, as they would lead to wherever the instance says. Every probe opens a connection of its own, without a
// proxy. TCP: a connection that is made passes. Which checks may be made at all is for the caller to know; where a name
// has led to an address that it must not (CheckAllowList::MayLeadTo()), no connection is made.
class CurlProber final : public Prober {
 public:
  explicit CurlProber(CheckAllowList check_allow);
  ~CurlProber() override;

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override;
  void Shutdown() override;

 private:
  struct Transfer;
  class Loop;

  const CheckAllowList check_allow_;
  const std::unique_ptr<Loop> loop_;
  // Held during Shutdown(), so that a second caller waits for the first.
  Mutex shutdown_mu_;
  std::thread thread_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_CURL_PROBER_H_
