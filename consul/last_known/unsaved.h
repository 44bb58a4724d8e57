#ifndef MESHGATE_CONSUL_LAST_KNOWN_UNSAVED_H_
#define MESHGATE_CONSUL_LAST_KNOWN_UNSAVED_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "consul/watch/state_store.h"
#include "consul/watch/target.h"

namespace meshgate::consul::last_known {

// What of the hub's states is not on disk: the latest state of each target, never an earlier one.
//
// Holds a state until a first try to write it is over, and after that only refers to it, so that a disk that fails does
// not keep states which nobody has any more. No I/O, no clock, no threads.
class Unsaved {
 public:
  struct Item {
    Target target;
    StoredState stored;
  };

  // Holds at most `max_held` states that are not on disk; beyond that it only refers to them.
  explicit Unsaved(size_t max_held) : max_held_(max_held) {}

  enum class Kind { kState, kConfirmation };
  // Takes a new latest state, or the confirmation of the one it has.
  Kind Save(const Target& target, const StoredState& stored);

  // The latest state, where somebody still has it.
  std::optional<StoredState> Latest(const Target& target) const;

  // A state that was read from disk, and so is there.
  void SetLoaded(const Target& target, const StoredState& stored);

  // States that wait to be written, and confirmations of states that are on disk. Taken confirmations are no longer
  // waiting.
  std::vector<Item> States() const;
  std::vector<Item> TakeConfirmations();

  // The state is on disk, could not be put there, or is never to be.
  void OnWritten(const Item& item);
  void OnFailed(const Item& item);
  void OnRefused(const Item& item);
  // It is on disk no longer.
  void OnLost(const Target& target);
  void OnAllLost();

  // Forgets states that nobody has any more. Done now and then by Save(), too.
  void Prune();

  bool has_states() const { return waiting_ > 0; }
  size_t size() const { return slots_.size(); }

 private:
  struct Slot {
    std::weak_ptr<const State> latest;
    SharedState held;
    uint64_t index = 0;
    absl::Time confirmed;
    bool unwritten = false;
    bool unconfirmed = false;
    bool refused = false;
  };

  void SetUnwritten(Slot& slot, bool unwritten);
  Slot* Find(const Item& item);

  const size_t max_held_;
  absl::flat_hash_map<Target, Slot> slots_;
  // Slots that are unwritten.
  size_t waiting_ = 0;
  // Twice what the last Prune() left.
  size_t prune_at_ = 1024;
};

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_UNSAVED_H_
