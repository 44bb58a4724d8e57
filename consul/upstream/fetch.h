#ifndef MESHGATE_CONSUL_UPSTREAM_FETCH_H_
#define MESHGATE_CONSUL_UPSTREAM_FETCH_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

struct Fetched {
  SharedState state;  // never null
  AnswerMeta meta;
};

// Reads a target with the call of the backend that fits its kind. `options.datacenter` is taken from the target.
CallHandle Fetch(Backend& backend, const Target& target, ReadOptions options,
                 absl::AnyInvocable<void(absl::StatusOr<Fetched>)> done);

// What a state has lost against an earlier one: keys of a prefix, or instances of a service.
struct Lost {
  std::vector<std::string> keys;
  std::vector<InstanceName> instances;

  bool empty() const { return keys.empty() && instances.empty(); }
};

// Of prefixes and services: Consul may hide parts of those without a word. A single key is read with an error then.
Lost LostBetween(TargetKind kind, const State& before, const State& after);

// Whether what a target has lost is gone, as Backend::ConfirmKeysGone() and ConfirmInstancesGone() tell: OK,
// PERMISSION_DENIED (reason::kHidden) where it is hidden from the gateway, UNAVAILABLE where it is there again by now,
// or the error of the call. `done` runs once, on the backend's Scheduler.
CallHandle ConfirmGone(Backend& backend, const Target& target, Lost lost,
                       absl::AnyInvocable<void(const absl::Status&)> done);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_FETCH_H_
