#include "server/wire/unpacker.h"

namespace meshgate::server::wire {
namespace {

constexpr size_t kPieceBytes = 16 << 10;

// Of zlib's windows, the largest; 16 more asks for gzip's header.
constexpr int kWindow = 15;
constexpr int kGzip = 16;

absl::Status Broken() { return absl::InternalError("a compressed message does not decompress"); }

}  // namespace

Unpacker::Unpacker(Encoding encoding)
    : result_(inflateInit2(&z_, encoding == Encoding::kGzip ? kWindow + kGzip : kWindow)) {}

Unpacker::~Unpacker() { inflateEnd(&z_); }

absl::Status Unpacker::Add(std::string_view bytes, absl::FunctionRef<bool(std::string_view)> take) {
  char piece[kPieceBytes];
  z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z_.avail_in = static_cast<uInt>(bytes.size());
  // A full piece may leave more behind with no byte left to come.
  for (bool full = false; z_.avail_in > 0 || full;) {
    // What is behind the end belongs to nothing.
    if (result_ != Z_OK) return Broken();
    z_.next_out = reinterpret_cast<Bytef*>(piece);
    z_.avail_out = kPieceBytes;
    result_ = inflate(&z_, Z_NO_FLUSH);
    const size_t size = kPieceBytes - z_.avail_out;
    full = result_ == Z_OK && z_.avail_out == 0;
    if (size > 0 && !take({piece, size})) return absl::OkStatus();
    // There was nothing left behind.
    if (result_ == Z_BUF_ERROR && z_.avail_in == 0) result_ = Z_OK;
  }
  return result_ == Z_OK || result_ == Z_STREAM_END ? absl::OkStatus() : Broken();
}

absl::Status Unpacker::End() const { return result_ == Z_STREAM_END ? absl::OkStatus() : Broken(); }

}  // namespace meshgate::server::wire
