#ifndef MESHGATE_CONSUL_EMBEDDED_PROBERS_H_
#define MESHGATE_CONSUL_EMBEDDED_PROBERS_H_

#include <memory>

#include "consul/check_allow_list.h"
#include "consul/embedded/prober.h"

namespace meshgate::consul {

// Makes all kinds of probes: HTTP and TCP on a thread of its own, gRPC on gRPC's. For EmbeddedOptions, with its list.
std::unique_ptr<embedded::Prober> MakeProber(CheckAllowList check_allow);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_EMBEDDED_PROBERS_H_
