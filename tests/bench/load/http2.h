// HTTP/2's framing (RFC 9113), as far as the load's client and the floor need it.
#ifndef MESHGATE_TESTS_BENCH_LOAD_HTTP2_H_
#define MESHGATE_TESTS_BENCH_LOAD_HTTP2_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace meshgate::bench::http2 {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t kFrameHeader = 9;
// In front of each message of gRPC: a flag and its length.
inline constexpr size_t kMessageHeader = 5;
inline constexpr uint32_t kMaxWindow = 0x7fffffff;
inline constexpr uint32_t kDefaultWindow = 65535;

// Types of frames.
inline constexpr uint8_t kData = 0, kHeaders = 1, kRstStream = 3, kSettings = 4, kPing = 6, kGoAway = 7,
                         kWindowUpdate = 8;
// Flags.
inline constexpr uint8_t kAck = 1, kEndStream = 1, kEndHeaders = 4, kPadded = 8;
// Settings.
inline constexpr uint16_t kEnablePush = 2, kInitialWindowSize = 4;

struct FrameHeader {
  uint32_t length;
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
};

inline uint32_t ReadU32(const char* at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(at);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

inline void WriteU32(uint32_t value, char* at) {
  at[0] = static_cast<char>(value >> 24);
  at[1] = static_cast<char>(value >> 16);
  at[2] = static_cast<char>(value >> 8);
  at[3] = static_cast<char>(value);
}

inline FrameHeader ReadFrameHeader(const char* at) {
  return {ReadU32(at) >> 8, static_cast<uint8_t>(at[3]), static_cast<uint8_t>(at[4]), ReadU32(at + 5) & kMaxWindow};
}

inline void WriteFrameHeader(const FrameHeader& header, char* at) {
  WriteU32(header.length << 8 | header.type, at);
  at[4] = static_cast<char>(header.flags);
  WriteU32(header.stream, at + 5);
}

inline void AppendU32(uint32_t value, std::string* out) {
  char bytes[4];
  WriteU32(value, bytes);
  out->append(bytes, sizeof bytes);
}

inline void AppendFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload, std::string* out) {
  char bytes[kFrameHeader];
  WriteFrameHeader({static_cast<uint32_t>(payload.size()), type, flags, stream}, bytes);
  out->append(bytes, sizeof bytes);
  out->append(payload);
}

inline void AppendWindowUpdate(uint32_t stream, uint32_t increment, std::string* out) {
  char bytes[4];
  WriteU32(increment, bytes);
  AppendFrame(kWindowUpdate, 0, stream, {bytes, sizeof bytes}, out);
}

inline void AppendSetting(uint16_t setting, uint32_t value, std::string* out) {
  out->push_back(static_cast<char>(setting >> 8));
  out->push_back(static_cast<char>(setting));
  AppendU32(value, out);
}

// A message as gRPC frames it.
inline void AppendMessageHeader(size_t size, std::string* out) {
  out->push_back(0);
  AppendU32(static_cast<uint32_t>(size), out);
}

}  // namespace meshgate::bench::http2

#endif  // MESHGATE_TESTS_BENCH_LOAD_HTTP2_H_
