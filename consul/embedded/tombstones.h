#ifndef MESHGATE_CONSUL_EMBEDDED_TOMBSTONES_H_
#define MESHGATE_CONSUL_EMBEDDED_TOMBSTONES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace meshgate::consul::embedded {

// The index at which each name that is gone went away, so that whoever reads an index never sees it go back.
//
// They can't be kept for ever: ReapTo() forgets the oldest and remembers only the highest index that was forgotten,
// the floor. A name without a tombstone may then have gone as late as the floor, which costs a reader that is older
// one return without a change, never a change. Thread-compatible.
class Tombstones {
 public:
  void Add(const std::string& name, uint64_t index) {
    Remove(name);
    by_name_[name] = index;
    by_index_.emplace(index, name);
  }

  // The name is there again.
  void Remove(const std::string& name) {
    auto it = by_name_.find(name);
    if (it == by_name_.end()) return;
    by_index_.erase({it->second, it->first});
    by_name_.erase(it);
  }

  // When `name` went, 0 if it never was, or where that is forgotten.
  uint64_t Find(const std::string& name) const {
    auto it = by_name_.find(name);
    return it == by_name_.end() ? 0 : it->second;
  }

  // When the latest name that begins with `prefix` went, or 0.
  uint64_t FindBelow(const std::string& prefix) const {
    uint64_t latest = 0;
    for (auto it = by_name_.lower_bound(prefix);
         it != by_name_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
      latest = std::max(latest, it->second);
    }
    return latest;
  }

  // The floor that leaves about `keep` tombstones.
  uint64_t FloorToKeep(size_t keep) const {
    if (by_index_.size() <= keep) return floor_;
    return std::next(by_index_.begin(), by_index_.size() - keep - 1)->first;
  }

  // Forgets those up to and including `floor`.
  void ReapTo(uint64_t floor) {
    floor_ = std::max(floor_, floor);
    while (!by_index_.empty() && by_index_.begin()->first <= floor) {
      by_name_.erase(by_index_.begin()->second);
      by_index_.erase(by_index_.begin());
    }
  }

  uint64_t floor() const { return floor_; }
  size_t size() const { return by_name_.size(); }
  // The highest index of all, the floor included.
  uint64_t max_index() const { return std::max(floor_, by_index_.empty() ? 0 : by_index_.rbegin()->first); }

 private:
  uint64_t floor_ = 0;
  std::map<std::string, uint64_t> by_name_;
  std::set<std::pair<uint64_t, std::string>> by_index_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_TOMBSTONES_H_
