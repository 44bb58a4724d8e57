#include "consul/embedded/kv_table.h"

#include <algorithm>
#include <utility>

namespace meshgate::consul::embedded {
namespace {

bool StartsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

}  // namespace

void KvTable::Put(SharedEntry entry) {
  latest_put_ = std::max(latest_put_, entry->modify_index);
  tombstones_.Remove(entry->key);
  SharedEntry& slot = entries_[entry->key];
  slot = std::move(entry);
}

void KvTable::Erase(const std::string& key, uint64_t index) {
  entries_.erase(key);
  tombstones_.Add(key, index);
}

SharedEntry KvTable::Find(const std::string& key) const {
  auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : it->second;
}

std::vector<SharedEntry> KvTable::FindBelow(const std::string& prefix) const {
  std::vector<SharedEntry> found;
  for (auto it = entries_.lower_bound(prefix); it != entries_.end() && StartsWith(it->first, prefix); ++it) {
    found.push_back(it->second);
  }
  return found;
}

uint64_t KvTable::KeyIndex(const std::string& key) const {
  const SharedEntry entry = Find(key);
  return entry ? entry->modify_index : index();
}

uint64_t KvTable::PrefixIndex(const std::string& prefix) const {
  const uint64_t latest = LatestBelow(prefix);
  return latest == 0 ? index() : std::max(latest, tombstones_.floor());
}

bool KvTable::KeyChangedSince(const std::string& key, uint64_t index) const {
  const SharedEntry entry = Find(key);
  if (entry) return entry->modify_index > index;
  return std::max(tombstones_.Find(key), tombstones_.floor()) > index;
}

bool KvTable::PrefixChangedSince(const std::string& prefix, uint64_t index) const {
  // Saves the scan for readers who know the latest write of all.
  if (this->index() <= index) return false;
  return std::max(LatestBelow(prefix), tombstones_.floor()) > index;
}

uint64_t KvTable::index() const { return std::max<uint64_t>({1, latest_put_, tombstones_.max_index()}); }

uint64_t KvTable::LatestBelow(const std::string& prefix) const {
  uint64_t latest = tombstones_.FindBelow(prefix);
  for (auto it = entries_.lower_bound(prefix); it != entries_.end() && StartsWith(it->first, prefix); ++it) {
    latest = std::max(latest, it->second->modify_index);
  }
  return latest;
}

}  // namespace meshgate::consul::embedded
