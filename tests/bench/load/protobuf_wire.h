// As much of protobuf's wire format as it takes to speak to servers whose .proto files are not here.
#ifndef MESHGATE_TESTS_BENCH_LOAD_PROTOBUF_WIRE_H_
#define MESHGATE_TESTS_BENCH_LOAD_PROTOBUF_WIRE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace meshgate::bench {

inline void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

inline void AppendVarintField(uint32_t field, uint64_t value, std::string* out) {
  AppendVarint(uint64_t{field} << 3, out);
  AppendVarint(value, out);
}

// Of a string, bytes, or a message.
inline void AppendBytesField(uint32_t field, std::string_view value, std::string* out) {
  AppendVarint(uint64_t{field} << 3 | 2, out);
  AppendVarint(value.size(), out);
  out->append(value);
}

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_PROTOBUF_WIRE_H_
