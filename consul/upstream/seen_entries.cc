#include "consul/upstream/seen_entries.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace meshgate::consul {
namespace {

// Names and indexes in JSON.
constexpr size_t kBytesPerEntry = 128;

}  // namespace

SeenEntries::SeenEntries(const std::vector<KvEntry>& entries) {
  seen_.reserve(entries.size());
  for (const KvEntry& entry : entries) {
    // A value travels as base64.
    bytes_ += kBytesPerEntry + entry.key.size() + entry.value.size() / 3 * 4;
    seen_.push_back({entry.key, entry.create_index, entry.modify_index, entry.flags, absl::HashOf(entry.value)});
  }
}

std::vector<std::string> SeenEntries::ChangedSince(const SeenEntries& before) const {
  std::vector<std::string> changed;
  auto old = before.seen_.begin();
  for (const Seen& now : seen_) {
    while (old != before.seen_.end() && old->key < now.key) changed.push_back((old++)->key);
    if (old == before.seen_.end() || old->key != now.key) {
      changed.push_back(now.key);
      continue;
    }
    if (old->modify_index != now.modify_index || old->create_index != now.create_index || old->flags != now.flags ||
        old->value_hash != now.value_hash) {
      changed.push_back(now.key);
    }
    ++old;
  }
  for (; old != before.seen_.end(); ++old) changed.push_back(old->key);
  return changed;
}

uint64_t SeenEntries::Fingerprint(const Target& target) const {
  const auto [begin, end] = PartOf(target, seen_);
  return Fingerprint(begin, end);
}

uint64_t SeenEntries::Fingerprint(size_t begin, size_t end) const {
  uint64_t hash = end - begin;
  for (size_t i = begin; i < end; ++i) {
    const Seen& s = seen_[i];
    hash = absl::HashOf(hash, s.key, s.create_index, s.modify_index, s.flags, s.value_hash);
  }
  return hash;
}

template <typename Entry>
std::pair<size_t, size_t> PartOf(const Target& target, const std::vector<Entry>& entries) {
  const auto begin = std::lower_bound(entries.begin(), entries.end(), target.name,
                                      [](const Entry& entry, const std::string& name) { return entry.key < name; });
  const auto end = std::partition_point(begin, entries.end(), [&](const Entry& entry) {
    return target.kind == TargetKind::kKey ? entry.key == target.name
                                           : entry.key.compare(0, target.name.size(), target.name) == 0;
  });
  return {static_cast<size_t>(begin - entries.begin()), static_cast<size_t>(end - entries.begin())};
}

template std::pair<size_t, size_t> PartOf(const Target& target, const std::vector<KvEntry>& entries);

}  // namespace meshgate::consul
