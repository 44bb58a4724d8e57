// HTTP/2 frames by hand, for what no client sends.
#ifndef MESHGATE_TESTS_SERVER_WIRE_FRAMES_H_
#define MESHGATE_TESTS_SERVER_WIRE_FRAMES_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>

namespace meshgate::testing {

inline constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string Bytes32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload = "") {
  return Bytes32(static_cast<uint32_t>(payload.size())).substr(1) +
         std::string{static_cast<char>(type), static_cast<char>(flags)} + Bytes32(stream) + payload;
}

inline std::string Settings() { return Frame(NGHTTP2_SETTINGS, 0, 0); }
inline std::string RstStream(uint32_t stream) { return Frame(NGHTTP2_RST_STREAM, 0, stream, Bytes32(NGHTTP2_CANCEL)); }

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_WIRE_FRAMES_H_
