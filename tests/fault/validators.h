// One judge for each thing that a watch promises (README.md, "What a watch promises"), over the evidence of a run.
//
// Each returns what it found against the promise, in words that name the reader, the time and the name concerned; empty
// is good. Each is sound under faults: what a fault explains (a write whose outcome is open may be applied at any later
// time, data that were lost may reappear or stay away) is no violation. Pure; any thread.
#ifndef MESHGATE_TESTS_FAULT_VALIDATORS_H_
#define MESHGATE_TESTS_FAULT_VALIDATORS_H_

#include <map>
#include <string>
#include <vector>

#include "tests/fault/history.h"

namespace meshgate::fault {

using Violations = std::vector<std::string>;

// How long after the end of a loss of data a reader may be told of it.
constexpr absl::Duration kLossToldWithin = absl::Seconds(15);

// Nothing goes back: neither a response's index, nor the writes of one name (by Consul's index, and by who was answered
// before whom began), nor does a response bring a change that an earlier index covered. But for a snapshot after a loss
// of data; and for the first, stale snapshot of a gateway that started while Consul was away, which knows what it had
// stored. A gateway may know the state that a reader comes back with under an older index than the one before did: what
// does not change a state leaves no trace where it was not seen.
Violations CheckOrder(const Record& record);

// Each event changes what the reader holds, each response says something, and a reader that comes back with its token
// is not sent again what it holds.
Violations CheckNoDuplicates(const Record& record);

// Every value was written before it was seen, not refused, and has the index that its writer was told. Nothing goes
// away but by a delete or a loss of data.
Violations CheckNothingInvented(const Record& record);

// After each response the names that are written by transactions are all there, of the same one, or none is.
Violations CheckTransactions(const Record& record);

// Of those who wrote the same version of a name on the condition that nobody else had, one was acknowledged.
Violations CheckConditionalWrites(const Record& record);

// `truth` is everything that Consul holds in the end: an acknowledged write is in it, unless another one may have come
// after it, or data were lost.
Violations CheckAcknowledged(const Record& record, const Holding& truth);

// Every reader holds just what there is of its target, and none was left stale. `truth` comes from Consul itself
// (convergence) or from fresh subscriptions (a resumed reader lost nothing).
Violations CheckConverged(const std::vector<SubscriberLog>& subscribers, const std::map<Target, Holding>& truth);

// A time when Consul could not be heard.
struct Outage {
  absl::Duration begin;
  absl::Duration end = absl::InfiniteDuration();
  // False: too short to have to be told.
  bool told = true;
  // How many there were in this time, at most.
  int times = 1;
};

// From `begin` to `end` each stream that spans it says once that it is stale, and once that this is over. (May be
// silent where it need not be told; oftener only where there were more outages.) At least one stream spans it.
Violations CheckStalePairs(const Record& record, const Outage& outage);

// Where a single write reached every reader in time. `name` was put once, with `value`, beginning at `begin`.
Violations CheckDelivered(const Record& record, const std::string& name, const Numbered& value, absl::Duration begin,
                          absl::Duration within);

// Whether the target covers a key or an instance of this name; `service` of an instance.
bool Covers(const Target& target, const std::string& name);

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_VALIDATORS_H_
