#ifndef MESHGATE_CONSUL_EMBEDDED_PROBERS_H_
#define MESHGATE_CONSUL_EMBEDDED_PROBERS_H_

#include <memory>

#include "consul/embedded/prober.h"

namespace meshgate::consul {

// Makes all kinds of probes: HTTP and TCP on a thread of its own, gRPC on gRPC's. For EmbeddedOptions.
std::unique_ptr<embedded::Prober> MakeProber();

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_EMBEDDED_PROBERS_H_
