#include "server/wire/message_reader.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshgate::server::wire {
namespace {

constexpr size_t kUnpackStep = 64 << 10;

absl::Status TooLarge(size_t bytes, size_t max) {
  // Word for word what gRPC's own server says.
  return absl::ResourceExhaustedError(absl::StrCat("Received message larger than max (", bytes, " vs. ", max, ")"));
}

}  // namespace

std::optional<Encoding> ParseEncoding(std::string_view grpc_encoding) {
  if (grpc_encoding.empty() || grpc_encoding == "identity") return Encoding::kIdentity;
  if (grpc_encoding == "gzip") return Encoding::kGzip;
  if (grpc_encoding == "deflate") return Encoding::kDeflate;
  return std::nullopt;
}

absl::Status MessageReader::Add(std::string_view bytes, absl::FunctionRef<bool(std::string)> each) {
  while (!bytes.empty()) {
    if (prefix_held_ < kPrefixBytes) {
      const size_t taken = std::min(bytes.size(), kPrefixBytes - prefix_held_);
      std::copy_n(bytes.begin(), taken, prefix_ + prefix_held_);
      prefix_held_ += taken;
      bytes.remove_prefix(taken);
      if (prefix_held_ < kPrefixBytes) return absl::OkStatus();
      if (absl::Status status = OnPrefix(); !status.ok()) return status;
    }
    const size_t taken = std::min(bytes.size(), length_ - message_.size());
    MakeRoom(message_.size() + taken);
    message_.append(bytes.data(), taken);
    bytes.remove_prefix(taken);
    if (message_.size() < length_) return absl::OkStatus();
    std::string message = std::exchange(message_, {});
    const bool packed = prefix_[0] == 1;
    prefix_held_ = 0;
    if (packed) {
      if (absl::Status status = Unpack(&message); !status.ok()) return status;
    }
    if (!each(std::move(message))) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status MessageReader::OnPrefix() {
  if (prefix_[0] > 1) return absl::InternalError("the request's bytes are no gRPC message");
  if (prefix_[0] == 1 && encoding_ == Encoding::kIdentity) {
    return absl::InternalError("a message is marked as compressed, and there is no grpc-encoding");
  }
  length_ = size_t{prefix_[1]} << 24 | size_t{prefix_[2]} << 16 | size_t{prefix_[3]} << 8 | prefix_[4];
  if (length_ > max_bytes_) return TooLarge(length_, max_bytes_);
  message_.reserve(std::min(length_, kReserveAtMost));
  return absl::OkStatus();
}

// By doubling, as a string grows by itself, but not beyond what the message will be: of many that are under way half
// would be room for nothing.
void MessageReader::MakeRoom(size_t bytes) {
  if (bytes <= message_.capacity()) return;
  std::string larger;
  larger.reserve(std::min(length_, std::max(bytes, 2 * message_.capacity())));
  larger.append(message_);
  message_.swap(larger);
}

absl::Status MessageReader::Unpack(std::string* message) const {
  // Windows of zlib: 16 more asks for gzip's header.
  constexpr int kWindow = 15;
  z_stream z = {};
  if (inflateInit2(&z, encoding_ == Encoding::kGzip ? kWindow + 16 : kWindow) != Z_OK) {
    return absl::InternalError("no memory to decompress a message");
  }
  z.next_in = reinterpret_cast<Bytef*>(message->data());
  z.avail_in = static_cast<uInt>(message->size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK && out.size() <= max_bytes_) {
    const size_t had = out.size();
    out.resize(had + kUnpackStep);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    z.avail_out = static_cast<uInt>(kUnpackStep);
    result = inflate(&z, Z_NO_FLUSH);
    out.resize(out.size() - z.avail_out);
  }
  inflateEnd(&z);
  if (out.size() > max_bytes_) return TooLarge(out.size(), max_bytes_);
  if (result != Z_STREAM_END) return absl::InternalError("a compressed message does not decompress");
  *message = std::move(out);
  return absl::OkStatus();
}

}  // namespace meshgate::server::wire
