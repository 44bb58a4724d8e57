#ifndef MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_
#define MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "consul/types.h"

namespace meshgate::consul {

// What of an answer is kept to find out what the next one has changed: all but the values, of which a hash is enough
// beside the indexes. Not thread-safe.
class SeenEntries {
 public:
  // Takes the next answer, sorted by key. Returns the keys that are new, different or gone, in order.
  std::vector<std::string> Update(const std::vector<KvEntry>& entries);

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

  std::vector<Seen> seen_;
  size_t bytes_ = 0;
};

// About what these take in an answer.
size_t AnswerBytes(const std::vector<KvEntry>& entries);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_SEEN_ENTRIES_H_
