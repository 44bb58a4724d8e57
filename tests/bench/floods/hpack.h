// As much of HPACK (RFC 7541) as it takes to make header blocks of any size.
#ifndef MESHGATE_TESTS_BENCH_FLOODS_HPACK_H_
#define MESHGATE_TESTS_BENCH_FLOODS_HPACK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace meshgate::bench::hpack {

inline void AppendInteger(uint8_t first, int prefix_bits, size_t value, std::string* out) {
  const size_t max = (size_t{1} << prefix_bits) - 1;
  if (value < max) return out->push_back(static_cast<char>(first | value));
  out->push_back(static_cast<char>(first | max));
  for (value -= max; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

inline void AppendString(std::string_view text, std::string* out) {
  AppendInteger(0, 7, text.size(), out);
  out->append(text);
}

inline void AppendIndexed(size_t index, std::string* out) { AppendInteger(0x80, 7, index, out); }

// Not put into the table.
inline void AppendLiteral(std::string_view name, std::string_view value, std::string* out) {
  out->push_back(0);
  AppendString(name, out);
  AppendString(value, out);
}

// Put into the table, where it is the latest.
inline void AppendAdded(std::string_view name, std::string_view value, std::string* out) {
  out->push_back(0x40);
  AppendString(name, out);
  AppendString(value, out);
}
inline constexpr size_t kLatest = 62;

// A gRPC request's, all of them literal.
inline std::string Request(std::string_view path) {
  std::string block;
  AppendLiteral(":method", "POST", &block);
  AppendLiteral(":scheme", "http", &block);
  AppendLiteral(":path", path, &block);
  AppendLiteral(":authority", "bench", &block);
  AppendLiteral("te", "trailers", &block);
  AppendLiteral("content-type", "application/grpc", &block);
  return block;
}

}  // namespace meshgate::bench::hpack

#endif  // MESHGATE_TESTS_BENCH_FLOODS_HPACK_H_
