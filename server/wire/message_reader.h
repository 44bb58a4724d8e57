// A gRPC request's messages out of the bytes of its DATA frames.
#ifndef MESHGATE_SERVER_WIRE_MESSAGE_READER_H_
#define MESHGATE_SERVER_WIRE_MESSAGE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/wire/unpacker.h"

namespace meshgate::server::wire {

// What a server says it takes, in grpc-accept-encoding.
inline constexpr char kAcceptedEncodings[] = "identity, deflate, gzip";

// Absent: one that we do not know. Empty is identity.
std::optional<Encoding> ParseEncoding(std::string_view grpc_encoding);

// Before each message: a flag for compression, and the length, big-endian.
inline constexpr size_t kPrefixBytes = 5;

// Puts messages together and decompresses them, never holding more than `max_bytes` of one, on the wire or unpacked.
// Not thread-safe.
class MessageReader {
 public:
  MessageReader(Encoding encoding, size_t max_bytes) : encoding_(encoding), max_bytes_(max_bytes) {}

  // Calls `each` for every message that is complete now, as long as it returns true. An error ends the call:
  // RESOURCE_EXHAUSTED for one that is too large, INTERNAL for what is no message.
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(std::string message)> each);

  // What a message that is not complete takes.
  size_t held_bytes() const {
    return (room_ > 0 ? message_.capacity() : 0) + (unpacker_ != nullptr ? Unpacker::kBytes : 0);
  }

  // Whether the input may end here.
  bool AtBoundary() const { return prefix_held_ == 0; }

 private:
  // A message's memory is taken as it comes, not as it is announced.
  static constexpr size_t kReserveAtMost = 16 << 10;

  absl::Status OnPrefix();
  absl::Status OnContent(std::string_view bytes);
  void Append(std::string_view bytes);

  const Encoding encoding_;
  const size_t max_bytes_;

  uint8_t prefix_[kPrefixBytes] = {};
  size_t prefix_held_ = 0;
  // Of the message on the wire.
  size_t left_ = 0;
  // That the message, unpacked, may take.
  size_t room_ = 0;
  std::unique_ptr<Unpacker> unpacker_;
  std::string message_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_MESSAGE_READER_H_
