#ifndef MESHGATE_CONSUL_WATCH_STATE_H_
#define MESHGATE_CONSUL_WATCH_STATE_H_

#include <memory>
#include <string>
#include <vector>

#include "consul/reporter.h"
#include "consul/types.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// An immutable state of a target; the one member that fits its kind is used.
struct State {
  std::vector<KvEntry> entries;          // sorted by key
  std::vector<Instance> instances;       // sorted by (node, id)
  std::vector<ServiceSummary> services;  // sorted by name
  QueryAnswer query;
};
using SharedState = std::shared_ptr<const State>;

// One difference between two states.
struct Change {
  // What identifies the thing that changed: the key, InstanceIdentity() or the service's name; empty for a query.
  std::string identity;
  bool existed_before = false;
  bool exists_now = false;
};

// Unique among the instances of a service, and in the same order as they are sorted.
std::string InstanceIdentity(const Instance& instance);

// What leads from one state to the other, in the order of identities. Empty: they are equal.
std::vector<Change> Diff(TargetKind kind, const State& before, const State& after);

// Whether `changes`, which lead from `before` as it was known at `index` to `after`, show an earlier time that has come
// back, as a restored snapshot or a store that was lost does: what is written has an index above all that went before.
// Deletes show nothing.
bool ShowEarlierTime(TargetKind kind, const std::vector<Change>& changes, const State& before, uint64_t index,
                     const State& after);

// Null where there is none.
const KvEntry* FindEntry(const State& state, const std::string& key);
const Instance* FindInstance(const State& state, const std::string& identity);

// What a reader with this view sees. The same state where the view leaves nothing out.
SharedState Filter(TargetKind kind, const SharedState& state, const View& view);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_STATE_H_
