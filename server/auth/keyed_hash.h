#ifndef MESHGATE_SERVER_AUTH_KEYED_HASH_H_
#define MESHGATE_SERVER_AUTH_KEYED_HASH_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace meshgate::server::auth {

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;

  friend bool operator==(const Hash128& a, const Hash128& b) { return a.high == b.high && a.low == b.low; }
  friend bool operator!=(const Hash128& a, const Hash128& b) { return !(a == b); }
  template <typename H>
  friend H AbslHashValue(H h, const Hash128& hash) {
    return H::combine(std::move(h), hash.high, hash.low);
  }
};

// HMAC-SHA256, cut to 128 bits, with a key that is made at random and lives in this object alone: what stands for a
// secret in a table says nothing about it to whoever reads the table. Thread-safe.
class KeyedHash {
 public:
  KeyedHash();
  KeyedHash(const KeyedHash&) = delete;
  KeyedHash& operator=(const KeyedHash&) = delete;

  // Different lists give different hashes, also where their texts run together to the same.
  Hash128 Of(std::initializer_list<std::string_view> texts) const;

 private:
  std::array<unsigned char, 32> key_;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_KEYED_HASH_H_
