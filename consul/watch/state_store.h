#ifndef MESHGATE_CONSUL_WATCH_STATE_STORE_H_
#define MESHGATE_CONSUL_WATCH_STATE_STORE_H_

#include <cstdint>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// A state of a target as Consul last confirmed it.
struct StoredState {
  SharedState state;  // never null
  uint64_t index = 0;
  // On the Scheduler's clock, also for what was stored before this process began.
  absl::Time confirmed;
};

// Where the states of watched targets outlive the process, so that a gateway that starts while Consul is away has
// something to serve. An extra: whatever fails in it, the hub goes on from memory.
//
// Thread-safe. No call blocks: the hub makes them on delivery paths.
class StateStore {
 public:
  using Loaded = absl::AnyInvocable<void(std::optional<StoredState>)>;

  virtual ~StateStore() = default;

  // What is stored for `target`, whole and as it was saved, or nothing. `done` runs once, on the Scheduler, never
  // inside the call; where storage hangs it may take any time.
  virtual void Load(const Target& target, Loaded done) = 0;

  // Soon stores this in place of what is stored for `target`. The same `state` again says that Consul has confirmed it
  // since.
  virtual void Save(const Target& target, StoredState stored) = 0;

  // Whether there is anything to load.
  virtual bool HasStates() const = 0;

  // Stores what was saved and stops; later calls load and save nothing. Blocks. Idempotent.
  virtual void Close() = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_STATE_STORE_H_
