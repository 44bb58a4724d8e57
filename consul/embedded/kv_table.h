#ifndef MESHGATE_CONSUL_EMBEDDED_KV_TABLE_H_
#define MESHGATE_CONSUL_EMBEDDED_KV_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "consul/embedded/tombstones.h"
#include "consul/types.h"

namespace meshgate::consul::embedded {

using SharedEntry = std::shared_ptr<const KvEntry>;

// The KV entries and Consul's rules of their indexes. Entries are immutable and shared, so a reader takes references
// under the lock and copies values outside of it. Thread-compatible.
class KvTable {
 public:
  // Creates or replaces; `entry` carries its indexes, modify_index above every index so far or, as a part of the latest
  // write, the same.
  void Put(SharedEntry entry);
  // `index` is the deletion's, with the same rule.
  void Erase(const std::string& key, uint64_t index);

  // Null where there is none.
  SharedEntry Find(const std::string& key) const;
  // In byte order of the keys.
  std::vector<SharedEntry> FindBelow(const std::string& prefix) const;

  // The index that a read answers with. Of a key its modify_index, and where it is missing the table's; of a prefix the
  // highest of what is and was below it, and where nothing ever was the table's. At least 1.
  uint64_t KeyIndex(const std::string& key) const;
  uint64_t PrefixIndex(const std::string& prefix) const;

  // Whether a reader at `index` misses something. Unlike Consul's, a missing key's readers don't return for writes to
  // other keys, although its index is the table's.
  bool KeyChangedSince(const std::string& key, uint64_t index) const;
  bool PrefixChangedSince(const std::string& prefix, uint64_t index) const;

  // Of the table: the latest write or deletion.
  uint64_t index() const;

  const Tombstones& tombstones() const { return tombstones_; }
  Tombstones& tombstones() { return tombstones_; }

 private:
  uint64_t LatestBelow(const std::string& prefix) const;

  std::map<std::string, SharedEntry> entries_;
  Tombstones tombstones_;
  uint64_t latest_put_ = 0;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_KV_TABLE_H_
