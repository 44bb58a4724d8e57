#ifndef MESHGATE_SERVER_WIRE_UNPACKER_H_
#define MESHGATE_SERVER_WIRE_UNPACKER_H_

#include <zlib.h>

#include <cstddef>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace meshgate::server::wire {

enum class Encoding { kIdentity, kDeflate, kGzip };

// Decompresses one message as its bytes come, so that no work is put off until there is much of it. Not thread-safe.
class Unpacker {
 public:
  // What it takes: zlib's state and window.
  static constexpr size_t kBytes = 40 << 10;

  explicit Unpacker(Encoding encoding);
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  // Calls `take` with what `bytes` become, in pieces, as long as it returns true. INTERNAL for what does not
  // decompress.
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(std::string_view)> take);

  // INTERNAL where there should be more.
  absl::Status End() const;

 private:
  z_stream z_ = {};
  int result_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_UNPACKER_H_
