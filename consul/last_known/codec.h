// States as records of bytes with checksums.
#ifndef MESHGATE_CONSUL_LAST_KNOWN_CODEC_H_
#define MESHGATE_CONSUL_LAST_KNOWN_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "consul/last_known/clock.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul::last_known {

inline constexpr size_t kChecksumBytes = 16;

// The first 16 bytes of the SHA-256: against disks, not against people.
std::string Checksum(std::string_view bytes);

// Of a set of records, in any order.
class ChecksumOfRecords {
 public:
  // `checksum` is one of Checksum().
  void Add(std::string_view checksum);
  std::string ToBytes() const;

 private:
  uint64_t low_ = 0;
  uint64_t high_ = 0;
};

// A record is one entry, instance or service. How many a state of this kind has, and of the one at `i`: what it is
// called, in the order that states are sorted in, and its bytes, the same for equal things.
size_t CountRecords(TargetKind kind, const State& state);
std::string RecordIdentity(TargetKind kind, const State& state, size_t i);
std::string EncodeRecord(TargetKind kind, const State& state, size_t i);

// Appends what the bytes hold to `state`. False where they are no record of this kind with this identity.
bool DecodeRecord(TargetKind kind, std::string_view identity, std::string_view bytes, State* state);

struct Header {
  Target target;
  uint64_t index = 0;
  Stamp confirmed;
  uint64_t records = 0;
  // ChecksumOfRecords, of all of them.
  std::string checksum;
  // Of the records, with what storing them costs.
  uint64_t bytes = 0;
};

std::string EncodeHeader(const Header& header);
std::optional<Header> DecodeHeader(std::string_view bytes);

// Identifies a target; the same in every version.
std::string EncodeTarget(const Target& target);

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_CODEC_H_
