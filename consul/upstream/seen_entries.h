#ifndef MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_
#define MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "consul/types.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// What of an answer is kept to compare others with: all but the values, of which a hash is enough beside the indexes.
// Thread-compatible.
class SeenEntries {
 public:
  SeenEntries() = default;
  // Sorted by key.
  explicit SeenEntries(const std::vector<KvEntry>& entries);

  // The keys that are new, different or gone since `before`, in order.
  std::vector<std::string> ChangedSince(const SeenEntries& before) const;

  // Of the versions of the entries that belong to a key or prefix: two answers with the same one hold the same of it.
  uint64_t Fingerprint(const Target& target) const;
  // Of all.
  uint64_t Fingerprint() const { return Fingerprint(0, seen_.size()); }

  bool empty() const { return seen_.empty(); }
  // About what the answer took on its way.
  size_t bytes() const { return bytes_; }

 private:
  struct Seen {
    std::string key;
    uint64_t create_index;
    uint64_t modify_index;
    uint64_t flags;
    size_t value_hash;
  };

  uint64_t Fingerprint(size_t begin, size_t end) const;

  std::vector<Seen> seen_;
  size_t bytes_ = 0;
};

// Where entries that are sorted by key hold what belongs to a key or prefix: from the first position to before the
// second.
template <typename Entry>
std::pair<size_t, size_t> PartOf(const Target& target, const std::vector<Entry>& entries);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_
