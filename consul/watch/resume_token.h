#ifndef MESHGATE_CONSUL_WATCH_RESUME_TOKEN_H_
#define MESHGATE_CONSUL_WATCH_RESUME_TOKEN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "consul/watch/digest.h"

namespace meshgate::consul {

// Where a reader was: Consul's index and the digest of the state it held. Opaque to readers; printable, 33 bytes. The
// digest alone decides; the index is for the humans who meet a token in a log.
struct ResumeToken {
  uint64_t index = 0;
  Digest digest;

  std::string ToString() const;
  // nullopt for what ToString() never gives. A well-formed token of another target is no error: it fits no state, and
  // so starts with a snapshot.
  static std::optional<ResumeToken> Parse(std::string_view text);
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_RESUME_TOKEN_H_
