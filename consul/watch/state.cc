#include "consul/watch/state.h"

#include <algorithm>
#include <utility>

namespace meshgate::consul {
namespace {

const std::string& IdentityOf(const KvEntry& entry) { return entry.key; }
std::string IdentityOf(const Instance& instance) { return InstanceIdentity(instance); }
const std::string& IdentityOf(const ServiceSummary& service) { return service.name; }

int Compare(const KvEntry& a, const KvEntry& b) { return a.key.compare(b.key); }
int Compare(const ServiceSummary& a, const ServiceSummary& b) { return a.name.compare(b.name); }
int Compare(const Instance& a, const Instance& b) {
  const int by_node = a.node.compare(b.node);
  return by_node != 0 ? by_node : a.id.compare(b.id);
}

template <typename T>
std::vector<Change> DiffSorted(const std::vector<T>& before, const std::vector<T>& after) {
  std::vector<Change> changes;
  auto old_it = before.begin();
  auto new_it = after.begin();
  while (old_it != before.end() || new_it != after.end()) {
    const int order = old_it == before.end() ? 1 : new_it == after.end() ? -1 : Compare(*old_it, *new_it);
    if (order < 0) {
      changes.push_back({IdentityOf(*old_it++), true, false});
    } else if (order > 0) {
      changes.push_back({IdentityOf(*new_it++), false, true});
    } else {
      if (!(*old_it == *new_it)) changes.push_back({IdentityOf(*new_it), true, true});
      ++old_it;
      ++new_it;
    }
  }
  return changes;
}

bool Matches(const Instance& instance, const View& view) {
  if (!view.include_unhealthy && instance.health != Health::kPassing) return false;
  return std::all_of(view.tags.begin(), view.tags.end(), [&](const std::string& tag) {
    return std::find(instance.tags.begin(), instance.tags.end(), tag) != instance.tags.end();
  });
}

}  // namespace

std::string InstanceIdentity(const Instance& instance) {
  std::string identity = instance.node;
  identity.push_back('\0');
  identity += instance.id;
  return identity;
}

std::vector<Change> Diff(TargetKind kind, const State& before, const State& after) {
  switch (kind) {
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      return DiffSorted(before.entries, after.entries);
    case TargetKind::kService:
      return DiffSorted(before.instances, after.instances);
    case TargetKind::kCatalog:
      return DiffSorted(before.services, after.services);
    case TargetKind::kQuery:
      if (before.query == after.query) break;
      return {{"", true, true}};
  }
  return {};
}

bool ShowEarlierTime(TargetKind kind, const std::vector<Change>& changes, const State& before, uint64_t index,
                     const State& after) {
  return std::any_of(changes.begin(), changes.end(), [&](const Change& change) {
    if (!change.exists_now) return false;
    switch (kind) {
      case TargetKind::kKey:
      case TargetKind::kPrefix:
        return FindEntry(after, change.identity)->modify_index <= index;
      case TargetKind::kService: {
        // A check changes without the instance's index.
        const Instance* was = FindInstance(before, change.identity);
        return was != nullptr && FindInstance(after, change.identity)->modify_index < was->modify_index;
      }
      case TargetKind::kCatalog:
      case TargetKind::kQuery:
        return false;
    }
    return false;
  });
}

const KvEntry* FindEntry(const State& state, const std::string& key) {
  auto it = std::lower_bound(state.entries.begin(), state.entries.end(), key,
                             [](const KvEntry& e, const std::string& k) { return e.key < k; });
  return it != state.entries.end() && it->key == key ? &*it : nullptr;
}

const Instance* FindInstance(const State& state, const std::string& identity) {
  const size_t split = identity.find('\0');
  const std::string node = identity.substr(0, split);
  const std::string id = identity.substr(split + 1);
  auto it = std::lower_bound(state.instances.begin(), state.instances.end(), std::tie(node, id),
                             [](const Instance& i, const auto& key) { return std::tie(i.node, i.id) < key; });
  return it != state.instances.end() && it->node == node && it->id == id ? &*it : nullptr;
}

SharedState Filter(TargetKind kind, const SharedState& state, const View& view) {
  if (kind != TargetKind::kService || (view.include_unhealthy && view.tags.empty())) return state;
  const auto& all = state->instances;
  if (std::all_of(all.begin(), all.end(), [&](const Instance& i) { return Matches(i, view); })) return state;
  auto filtered = std::make_shared<State>();
  std::copy_if(all.begin(), all.end(), std::back_inserter(filtered->instances),
               [&](const Instance& i) { return Matches(i, view); });
  return filtered;
}

}  // namespace meshgate::consul
