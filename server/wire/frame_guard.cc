#include "server/wire/frame_guard.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

namespace meshgate::server::wire {
namespace {

uint32_t Read32(const char* at) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(at);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

bool FrameGuard::Feed(std::string_view bytes, absl::Time now, absl::FunctionRef<bool(std::string_view)> pass) {
  Refill(now);

  // What is passed on in one piece: from here up to `at`.
  const char* begin = bytes.data();
  const char* at = begin;
  const char* const end = begin + bytes.size();
  const auto flush = [&](const char* until) {
    const bool more = until == begin || pass(std::string_view(begin, static_cast<size_t>(until - begin)));
    begin = until;
    return more;
  };

  while (at < end) {
    const auto left = static_cast<size_t>(end - at);
    if (preface_left_ > 0) {
      const size_t taken = std::min(left, preface_left_);
      preface_left_ -= taken;
      at += taken;
      continue;
    }
    if (payload_left_ > 0) {
      const size_t taken = std::min<size_t>(left, payload_left_);
      payload_left_ -= static_cast<uint32_t>(taken);
      at += taken;
      if (dropping_) begin = at;
      continue;
    }
    // A header that is not complete is kept until it is known whether its frame passes.
    const char* const start = at;
    const bool whole = header_held_ == 0 && left >= kHeaderBytes;
    if (header_held_ == 0 && !whole && !flush(start)) return false;
    const size_t taken = std::min(left, kHeaderBytes - header_held_);
    std::copy_n(at, taken, header_ + header_held_);
    header_held_ += taken;
    at += taken;
    if (header_held_ < kHeaderBytes) {
      begin = at;
      break;
    }
    header_held_ = 0;
    dropping_ = !OnHeader();
    if (flooded_) return false;
    if (dropping_) {
      if (whole && !flush(start)) return false;
      begin = at;
    } else if (!whole) {
      if (!pass(std::string_view(header_, kHeaderBytes))) return false;
      begin = at;
    }
  }
  return flush(end);
}

void FrameGuard::Refill(absl::Time now) {
  if (refilled_ != absl::InfinitePast()) {
    const double seconds = absl::ToDoubleSeconds(now - refilled_);
    idle_credit_ = std::min(kBurst, idle_credit_ + kPerSecond * seconds);
    wide_credit_ = std::min(kWideBurst, wide_credit_ + kWidePerSecond * seconds);
  }
  refilled_ = now;
}

bool FrameGuard::OnHeader() {
  payload_left_ = Read32(header_) >> 8;
  const auto type = static_cast<uint8_t>(header_[3]);
  const auto flags = static_cast<uint8_t>(header_[4]);
  const uint32_t stream = Read32(header_ + 5) & 0x7fffffffU;
  if (type == NGHTTP2_HEADERS) highest_stream_ = std::max(highest_stream_, stream);
  if (type == NGHTTP2_RST_STREAM && stream > highest_stream_ && payload_left_ == 4) {
    flooded_ = --idle_credit_ < 0;
    return false;
  }
  const bool wide = (type == NGHTTP2_SETTINGS && (flags & NGHTTP2_FLAG_ACK) == 0) || type == NGHTTP2_GOAWAY;
  if (wide && --wide_credit_ < 0) flooded_ = true;
  if (IsIdle(type, flags, payload_left_) && --idle_credit_ < 0) flooded_ = true;
  return true;
}

bool FrameGuard::IsIdle(uint8_t type, uint8_t flags, uint32_t length) const {
  switch (type) {
    case NGHTTP2_DATA:
      return length == 0 && (flags & NGHTTP2_FLAG_END_STREAM) == 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
      // Bounded by nghttp2, or what a call begins with.
      return false;
    default:
      return true;
  }
}

}  // namespace meshgate::server::wire
