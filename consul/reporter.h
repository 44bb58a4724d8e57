// What the consul layer tells about itself. metrics/ implements these over Prometheus; tests record. Implementations
// are thread-safe and cheap: they are called on delivery paths.
#ifndef MESHGATE_CONSUL_REPORTER_H_
#define MESHGATE_CONSUL_REPORTER_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace meshgate::consul {

enum class TargetKind { kKey, kPrefix, kService, kCatalog, kQuery };
inline constexpr int kTargetKinds = 5;
// "key", "prefix", "service", "catalog", "query".
std::string_view ToString(TargetKind kind);

// Consul's HTTP API by family; a metric label, so a small fixed set.
enum class Endpoint {
  kKv,
  kTxn,
  kHealthService,
  kCatalog,
  kAgentService,
  kAgentCheck,
  kStatus,
  kAuthorize,
  // Of requests that are passed on for others alone (consul/relay.h).
  kHealth,
  kAgent,
  kSession,
  kAcl,
  kOther
};
inline constexpr int kEndpoints = 13;
// "kv", "txn", "health_service", "catalog", "agent_service", "agent_check", "status", "authorize", "health", "agent",
// "session", "acl", "other".
std::string_view ToString(Endpoint endpoint);

// One backend's traffic.
class BackendReporter {
 public:
  virtual ~BackendReporter() = default;
  // `http_code` is 0 where no answer came. Blocking queries count with the time they waited.
  virtual void OnRequest(Endpoint endpoint, int http_code, absl::Duration took) {}
  // Open connections to Consul, idle ones too.
  virtual void OnConnections(int open) {}
  // Whether calls are let through to Consul: always, as many more as it seems to bear, or not at all while it is away.
  // Closed until told otherwise.
  enum class Breaker { kClosed, kHalfOpen, kOpen };
  virtual void OnBreaker(Breaker state) {}
  // Another of several agents is used from now on. `url` holds no credentials.
  virtual void OnAgent(std::string_view url) {}
};

// What the store said about itself when it was last asked.
class StoreReporter {
 public:
  virtual ~StoreReporter() = default;
  virtual void OnStoreHealth(bool up, bool known_leader, absl::Duration last_contact) {}
};

// The watch hub.
class WatchReporter {
 public:
  enum class EventType { kPut, kDelete };
  enum class CacheResult { kHit, kMiss, kStale, kRefused };
  // Why a stream was ended, or a delivery not made, against the reader's wish.
  enum class DropReason { kFailed, kDraining, kSlowReader };

  virtual ~WatchReporter() = default;
  // +1 and -1 as streams and upstream watches come and go. A watch that several targets share is one of a prefix.
  virtual void OnStreams(TargetKind kind, int delta) {}
  virtual void OnUpstreamWatches(TargetKind kind, int delta) {}
  // Targets that share an upstream watch.
  virtual void OnSharedTargets(int delta) {}
  // Upstream watches that read now and then, for want of a free connection to wait on.
  virtual void OnPolled(int delta) {}
  // It was planned anew which targets share an upstream watch.
  virtual void OnReplan() {}
  // Changes of the state, counted once however many read them.
  virtual void OnEvents(TargetKind kind, EventType type, int count) {}
  // Events that a reader got merged into later ones.
  virtual void OnMerged(TargetKind kind, int64_t events) {}
  // From Consul's answer received to the message handed to the transport, for so many readers.
  virtual void OnPropagation(TargetKind kind, absl::Duration took, int64_t readers) {}
  virtual void OnDropped(DropReason reason) {}
  virtual void OnIndexReset() {}
  // An answer lacked what readers hold, and it could not be confirmed to be gone: they keep it.
  virtual void OnUnconfirmed(TargetKind kind) {}
  // A blocking query returned, and nothing had changed.
  virtual void OnSpuriousWakeup(TargetKind kind) {}
  virtual void OnCacheRequest(CacheResult result) {}
};

// The last known states on disk.
class StateStoreReporter {
 public:
  enum class Operation { kOpen, kLoad, kSave };

  virtual ~StateStoreReporter() = default;
  // Once at first and then at each change: OK while states are kept on disk; otherwise why they are not. They are again
  // as soon as they can be.
  virtual void OnCondition(const absl::Status& condition) {}
  // Every failure, however long the condition has lasted.
  virtual void OnError(Operation operation) {}
  // Something stored was not what had been written, and will not be used. `what` says what was done about it.
  virtual void OnDamage(std::string_view what) {}
  // What is on disk now.
  virtual void OnKept(int64_t targets, int64_t bytes) {}
};
inline constexpr int kStateStoreOperations = 3;
// "open", "load", "save".
std::string_view ToString(StateStoreReporter::Operation operation);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_REPORTER_H_
