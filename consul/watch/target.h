#ifndef MESHGATE_CONSUL_WATCH_TARGET_H_
#define MESHGATE_CONSUL_WATCH_TARGET_H_

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "consul/reporter.h"

namespace meshgate::consul {

// What one upstream query reads, and so what one topic of the hub stands for.
struct Target {
  TargetKind kind = TargetKind::kKey;
  // The key, the prefix or the service; empty for the catalog. Of a query its path and parameters, as Consul's HTTP API
  // has them, without those that say how to read.
  std::string name;
  // Empty: the agent's own.
  std::string datacenter;
  // Services only: a Consul filter expression, which Consul alone can evaluate.
  std::string filter;
  // Queries only: the ACL token that it is made with, as Consul leaves out of an answer what a token may not read.
  // Absent is the gateway's own. A secret.
  std::optional<std::string> token;

  friend bool operator==(const Target& a, const Target& b) {
    return std::tie(a.kind, a.name, a.datacenter, a.filter, a.token) ==
           std::tie(b.kind, b.name, b.datacenter, b.filter, b.token);
  }
  template <typename H>
  friend H AbslHashValue(H h, const Target& t) {
    return H::combine(std::move(h), t.kind, t.name, t.datacenter, t.filter, t.token);
  }
};

// What a reader wants to see of a service target, evaluated here. Readers with equal views share every encoded message.
struct View {
  // An instance must have all of them. Sorted, without repetitions.
  std::vector<std::string> tags;
  bool include_unhealthy = false;

  friend bool operator==(const View& a, const View& b) {
    return a.include_unhealthy == b.include_unhealthy && a.tags == b.tags;
  }
  template <typename H>
  friend H AbslHashValue(H h, const View& v) {
    return H::combine(std::move(h), v.tags, v.include_unhealthy);
  }
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_TARGET_H_
