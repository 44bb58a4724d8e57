#ifndef MESHGATE_CONSUL_WATCH_DIGEST_H_
#define MESHGATE_CONSUL_WATCH_DIGEST_H_

#include <cstdint>
#include <string>

#include "consul/types.h"
#include "consul/watch/state.h"

namespace meshgate::consul {

// 128 bits that stand for everything a reader can see of a state. Equal for equal states on every gateway and in every
// version of it: what goes into it is part of the resume tokens that readers keep.
//
// The sum of the SHA-256 of its members, cut to 128 bits: it does not depend on their order, and a change costs what
// changed, not the size of the state. Not a signature: who can write the store can also make two states collide.
class Digest {
 public:
  friend bool operator==(const Digest& a, const Digest& b) { return a.high_ == b.high_ && a.low_ == b.low_; }
  friend bool operator!=(const Digest& a, const Digest& b) { return !(a == b); }

  void Add(const KvEntry& entry) { Add(Hash(entry)); }
  void Add(const Instance& instance) { Add(Hash(instance)); }
  void Remove(const KvEntry& entry) { Subtract(Hash(entry)); }
  void Remove(const Instance& instance) { Subtract(Hash(instance)); }

  // 16 bytes.
  std::string ToBytes() const;
  // Of 16 bytes; anything else gives a digest that fits no state by chance only.
  static Digest FromBytes(const std::string& bytes);

 private:
  static Digest Hash(const KvEntry& entry);
  static Digest Hash(const Instance& instance);
  void Add(const Digest& other);
  void Subtract(const Digest& other);

  // Starts from a fixed number, so that the digest of nothing is not all zeros.
  uint64_t high_ = 0x6d65736867617465;
  uint64_t low_ = 1;
};

// Of a whole state of keys, prefixes and services.
Digest DigestOf(TargetKind kind, const State& state);

// From the digest of `before` to that of `after`, given what changed between them.
Digest UpdateDigest(TargetKind kind, Digest digest, const State& before, const State& after,
                    const std::vector<Change>& changes);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_DIGEST_H_
