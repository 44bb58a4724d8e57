#ifndef MESHGATE_CONSUL_LAST_KNOWN_SQLITE_STATE_STORE_H_
#define MESHGATE_CONSUL_LAST_KNOWN_SQLITE_STATE_STORE_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "consul/base/scheduler.h"
#include "consul/last_known/clock.h"
#include "consul/last_known/state_file.h"
#include "consul/reporter.h"
#include "consul/watch/state_store.h"

namespace meshgate::consul {

struct StateStoreOptions {
  last_known::StateFileOptions file;
  // From a save to its write. Those of the same target that come meanwhile are never written.
  absl::Duration delay = absl::Milliseconds(200);
  // How far behind the confirmations on disk may be: after a crash ages are too high by at most this.
  absl::Duration confirm_every = absl::Seconds(30);
  // For tests.
  std::function<last_known::Stamp()> clock = last_known::ReadClocks;
};

// A StateStore in a file (last_known/state_file.h: what it survives, and who can read it), written and read by a thread
// of its own.
//
// Costs memory for the states that wait to be written, at most one a target, and shares them with the hub; a state that
// could not be written is kept only as long as the hub has it. Takes at most about a tenth of a processor however fast
// states change: after writing it rests for nine times as long as that took, if that is longer than `delay`.
//
// Whatever fails is reported, and tried again: after `delay`, then twice that, up to half a minute. While the file
// can't be opened nothing is loaded. A file that turns out to be damaged is set aside; what the hub has is written to a
// new one.
class SqliteStateStore final : public StateStore {
 public:
  // `scheduler` and `reporter` outlive the store. The reporter is called by the store's thread.
  SqliteStateStore(StateStoreOptions options, Scheduler* scheduler, StateStoreReporter* reporter);
  // Same as Close().
  ~SqliteStateStore() override;

  void Load(const Target& target, Loaded done) override;
  void Save(const Target& target, StoredState stored) override;
  bool HasStates() const override;
  void Close() override;

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_LAST_KNOWN_SQLITE_STATE_STORE_H_
