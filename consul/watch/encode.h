// From states to the API's messages.
#ifndef MESHGATE_CONSUL_WATCH_ENCODE_H_
#define MESHGATE_CONSUL_WATCH_ENCODE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "consul/types.h"
#include "consul/watch/state.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::consul {

void ToProto(const KvEntry& entry, v1::ConfigEntry* out);
void ToProto(const Instance& instance, v1::DiscoveredInstance* out);
v1::HealthStatus ToProto(Health health);

// What every message of a stream carries beside its events.
struct MessageHead {
  uint64_t index = 0;
  // Set: Consul has been out of reach for so long.
  std::optional<absl::Duration> stale_for;
  // Empty while nothing is known.
  std::string resume_token;
};

// Each returns a serialized WatchConfigResponse (keys, prefixes) or WatchServiceResponse (services).
std::string EncodeSnapshot(TargetKind kind, const MessageHead& head, const State& state);
// `changes` lead to `state`.
std::string EncodeChanges(TargetKind kind, const MessageHead& head, const std::vector<Change>& changes,
                          const State& state);
std::string EncodeNoChange(TargetKind kind, const MessageHead& head);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_ENCODE_H_
