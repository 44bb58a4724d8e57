#include "server/wire/message_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshgate::server::wire {
namespace {

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
    const size_t taken = std::min(bytes.size(), left_);
    left_ -= taken;
    if (absl::Status status = OnContent(bytes.substr(0, taken)); !status.ok()) return status;
    bytes.remove_prefix(taken);
    if (left_ > 0) return absl::OkStatus();
    if (const std::unique_ptr<Unpacker> unpacker = std::move(unpacker_)) {
      if (absl::Status status = unpacker->End(); !status.ok()) return status;
    }
    prefix_held_ = room_ = 0;
    std::string message = std::exchange(message_, {});
    if (!each(std::move(message))) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status MessageReader::OnPrefix() {
  if (prefix_[0] > 1) return absl::InternalError("the request's bytes are no gRPC message");
  if (prefix_[0] == 1 && encoding_ == Encoding::kIdentity) {
    return absl::InternalError("a message is marked as compressed, and there is no grpc-encoding");
  }
  left_ = size_t{prefix_[1]} << 24 | size_t{prefix_[2]} << 16 | size_t{prefix_[3]} << 8 | prefix_[4];
  if (left_ > max_bytes_) return TooLarge(left_, max_bytes_);
  if (prefix_[0] == 1) unpacker_ = std::make_unique<Unpacker>(encoding_);
  room_ = unpacker_ != nullptr ? max_bytes_ : left_;
  message_.reserve(std::min(left_, kReserveAtMost));
  return absl::OkStatus();
}

absl::Status MessageReader::OnContent(std::string_view bytes) {
  if (unpacker_ == nullptr) {
    Append(bytes);
    return absl::OkStatus();
  }
  bool fits = true;
  absl::Status status = unpacker_->Add(bytes, [&](std::string_view unpacked) {
    fits = unpacked.size() <= max_bytes_ - message_.size();
    if (fits) Append(unpacked);
    return fits;
  });
  return fits ? status : TooLarge(max_bytes_ + 1, max_bytes_);
}

// By doubling, as a string grows by itself, but not beyond what the message may be: of many that are under way half
// would be room for nothing.
void MessageReader::Append(std::string_view bytes) {
  const size_t size = message_.size() + bytes.size();
  if (size > message_.capacity()) {
    std::string larger;
    larger.reserve(std::min(room_, std::max(size, 2 * message_.capacity())));
    larger.append(message_);
    message_.swap(larger);
  }
  message_.append(bytes);
}

}  // namespace meshgate::server::wire
