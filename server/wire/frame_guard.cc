#include "server/wire/frame_guard.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

namespace meshgate::server::wire {
namespace {

uint32_t Read32(const char* at) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(at);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

constexpr uint32_t kLow31Bits = 0x7fffffff;

// Of a GOAWAY that is one, and of any frame where nothing else was agreed on (RFC 9113, 6.8 and 4.2).
constexpr uint32_t kLeastGoAwayBytes = 8;
constexpr uint32_t kMostPayloadBytes = 1 << 14;

}  // namespace

bool FrameGuard::Feed(std::string_view bytes, absl::Time now, absl::FunctionRef<bool(std::string_view)> pass,
                      absl::FunctionRef<void(int32_t, uint32_t)> window) {
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
    const bool whole = held_size_ == 0 && left >= kHeaderBytes;
    if (held_size_ == 0 && !whole && !flush(start)) return false;
    const size_t taken = std::min(left, held_needed_ - held_size_);
    std::copy_n(at, taken, held_ + held_size_);
    held_size_ += taken;
    at += taken;
    if (held_size_ < held_needed_) {
      begin = at;
      break;
    }
    if (held_needed_ == kWindowUpdateBytes) {
      held_size_ = 0;
      held_needed_ = kHeaderBytes;
      begin = at;
      const uint32_t increment = Read32(held_ + kHeaderBytes) & kLow31Bits;
      if (increment > 0) {
        window(static_cast<int32_t>(Read32(held_ + 5) & kLow31Bits), increment);
      } else if (!pass(std::string_view(held_, kWindowUpdateBytes))) {
        return false;
      }
      continue;
    }
    const Way way = OnHeader();
    if (flooded_) return false;
    if (way == Way::kPass) {
      held_size_ = 0;
      if (whole) continue;
      if (!pass(std::string_view(held_, kHeaderBytes))) return false;
      begin = at;
      continue;
    }
    if (whole && !flush(start)) return false;
    begin = at;
    if (way == Way::kWindow) {
      held_needed_ = kWindowUpdateBytes;
    } else {
      held_size_ = 0;
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

FrameGuard::Way FrameGuard::OnHeader() {
  payload_left_ = Read32(held_) >> 8;
  const auto type = static_cast<uint8_t>(held_[3]);
  const auto flags = static_cast<uint8_t>(held_[4]);
  const uint32_t stream = Read32(held_ + 5) & kLow31Bits;
  if (type == NGHTTP2_HEADERS) highest_stream_ = std::max(highest_stream_, stream);
  if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) {
    in_header_block_ = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
  }
  if (type == NGHTTP2_SETTINGS) greeted_ = true;
  dropping_ = type == NGHTTP2_RST_STREAM && stream > highest_stream_ && payload_left_ == 4;
  const bool wide = (type == NGHTTP2_SETTINGS && (flags & NGHTTP2_FLAG_ACK) == 0) || type == NGHTTP2_GOAWAY;
  if (wide && --wide_credit_ < 0) flooded_ = true;
  if (IsIdle(type, flags, payload_left_) && --idle_credit_ < 0) flooded_ = true;
  // One is enough: for each nghttp2 looks through all streams.
  const bool farewell = type == NGHTTP2_GOAWAY && stream == 0 && !in_header_block_ &&
                        payload_left_ >= kLeastGoAwayBytes && payload_left_ <= kMostPayloadBytes;
  if (farewell && std::exchange(heard_goaway_, true)) dropping_ = true;
  if (dropping_) return Way::kDrop;
  const bool known = stream == 0 || (stream % 2 == 1 && stream <= highest_stream_);
  if (type != NGHTTP2_WINDOW_UPDATE || payload_left_ != 4 || !known || !greeted_ || in_header_block_) {
    return Way::kPass;
  }
  payload_left_ = 0;
  return Way::kWindow;
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
