#ifndef MESHGATE_CONSUL_UPSTREAM_FETCH_H_
#define MESHGATE_CONSUL_UPSTREAM_FETCH_H_

#include "absl/functional/any_invocable.h"
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

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_FETCH_H_
