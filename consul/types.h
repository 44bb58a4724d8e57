// What Consul holds, in our terms: plain values without behaviour. Wire formats stay in the backends.
#ifndef MESHGATE_CONSUL_TYPES_H_
#define MESHGATE_CONSUL_TYPES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace meshgate::consul {

// One key of the KV store. All indexes are raft indexes: 1 and up, 0 means unknown.
struct KvEntry {
  std::string key;
  std::string value;
  uint64_t flags = 0;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;
  // How often it was locked, and the id of the session that holds the lock; empty without one.
  uint64_t lock_index = 0;
  std::string session;

  friend bool operator==(const KvEntry& a, const KvEntry& b) {
    return std::tie(a.modify_index, a.create_index, a.flags, a.key, a.value, a.lock_index, a.session) ==
           std::tie(b.modify_index, b.create_index, b.flags, b.key, b.value, b.lock_index, b.session);
  }
  friend bool operator!=(const KvEntry& a, const KvEntry& b) { return !(a == b); }
};

// The parts of a commit. `if_modify_index` is as in Backend::PutKey() and Backend::DeleteKey().
struct PutOperation {
  // Its key, value and flags.
  KvEntry entry;
  std::optional<uint64_t> if_modify_index;
};
struct DeleteKeyOperation {
  std::string key;
  std::optional<uint64_t> if_modify_index;
};
struct DeletePrefixOperation {
  std::string prefix;
};
using KvOperation = std::variant<PutOperation, DeleteKeyOperation, DeletePrefixOperation>;

// From best to worst.
enum class Health { kPassing, kWarning, kCritical, kMaintenance };

// One instance of a service as a reader sees it.
struct Instance {
  std::string id;
  std::string service;
  // The instance's own address or, where it has none, its node's.
  std::string address;
  uint32_t port = 0;
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  int32_t weight_passing = 1;
  int32_t weight_warning = 1;
  std::string node;
  std::string datacenter;
  // The worst of the instance's checks and its node's.
  Health health = Health::kPassing;
  uint64_t create_index = 0;
  // Of the registration, not of its checks: a check's output may change many times without a reader seeing it.
  uint64_t modify_index = 0;

  friend bool operator==(const Instance& a, const Instance& b) {
    return std::tie(a.modify_index, a.create_index, a.health, a.id, a.service, a.address, a.port, a.tags, a.meta,
                    a.weight_passing, a.weight_warning, a.node, a.datacenter) ==
           std::tie(b.modify_index, b.create_index, b.health, b.id, b.service, b.address, b.port, b.tags, b.meta,
                    b.weight_passing, b.weight_warning, b.node, b.datacenter);
  }
  friend bool operator!=(const Instance& a, const Instance& b) { return !(a == b); }
};

// What tells the instances of a datacenter apart.
struct InstanceName {
  std::string node;
  std::string id;
};

// A permission that a token may have.
struct Permission {
  enum class Kind { kReadKey, kReadService, kReadNode, kWriteService };

  Kind kind = Kind::kReadKey;
  // The key, service or node. An empty key is the prefix of all.
  std::string name;
};

// A service of the catalog with the tags of all its instances, sorted.
struct ServiceSummary {
  std::string name;
  std::vector<std::string> tags;

  friend bool operator==(const ServiceSummary& a, const ServiceSummary& b) {
    return a.name == b.name && a.tags == b.tags;
  }
};

// An answer of Consul's HTTP API as it came, for those who speak that themselves.
struct QueryAnswer {
  // Of HTTP: 200, or 404 where that means "none".
  int code = 200;
  // JSON, or nothing.
  std::string body;

  friend bool operator==(const QueryAnswer& a, const QueryAnswer& b) {
    return std::tie(a.code, a.body) == std::tie(b.code, b.body);
  }
};

struct HttpProbe {
  std::string url;
  std::string method;  // Empty means GET.
  std::map<std::string, std::string> headers;
  bool tls_skip_verify = false;

  friend bool operator==(const HttpProbe& a, const HttpProbe& b) {
    return std::tie(a.url, a.method, a.headers, a.tls_skip_verify) ==
           std::tie(b.url, b.method, b.headers, b.tls_skip_verify);
  }
};
struct TcpProbe {
  std::string address;  // host:port

  friend bool operator==(const TcpProbe& a, const TcpProbe& b) { return a.address == b.address; }
};
struct GrpcProbe {
  std::string target;  // host:port or host:port/service
  bool use_tls = false;

  friend bool operator==(const GrpcProbe& a, const GrpcProbe& b) {
    return a.target == b.target && a.use_tls == b.use_tls;
  }
};
// Somebody reports the health at least this often.
struct TtlProbe {
  absl::Duration ttl;

  friend bool operator==(const TtlProbe& a, const TtlProbe& b) { return a.ttl == b.ttl; }
};

struct CheckDefinition {
  std::variant<HttpProbe, TcpProbe, GrpcProbe, TtlProbe> probe;
  std::string name;  // Empty: the backend makes one up.
  // Between probes; not used by TtlProbe.
  absl::Duration interval;
  // Zero means 10 seconds, as in Consul.
  absl::Duration timeout;
  // Zero means never. Consul acts on it with a floor of a minute and a delay of up to 30 s.
  absl::Duration deregister_critical_after;
  // Until the first probe or report.
  Health initial_status = Health::kCritical;

  friend bool operator==(const CheckDefinition& a, const CheckDefinition& b) {
    return std::tie(a.probe, a.name, a.interval, a.timeout, a.deregister_critical_after, a.initial_status) ==
           std::tie(b.probe, b.name, b.interval, b.timeout, b.deregister_critical_after, b.initial_status);
  }
};

// What a caller registers with the agent. Validated by whoever builds it (consul/validate.h); `id` is not empty.
struct Registration {
  std::string id;
  std::string service;
  std::string address;  // Empty: the node's.
  uint32_t port = 0;
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  int32_t weight_passing = 1;
  int32_t weight_warning = 1;
  // At most one of them is a TtlProbe.
  std::vector<CheckDefinition> checks;

  friend bool operator==(const Registration& a, const Registration& b) {
    return std::tie(a.id, a.service, a.address, a.port, a.tags, a.meta, a.weight_passing, a.weight_warning, a.checks) ==
           std::tie(b.id, b.service, b.address, b.port, b.tags, b.meta, b.weight_passing, b.weight_warning, b.checks);
  }
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_TYPES_H_
