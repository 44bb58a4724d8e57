// UTF-8 as Unicode defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef MESHGATE_CONSUL_BASE_UTF8_H_
#define MESHGATE_CONSUL_BASE_UTF8_H_

#include <cstddef>
#include <optional>
#include <string_view>

namespace meshgate {

// Takes one code point off the front of `text`, which is not empty. Nothing, and `text` unchanged, where it does not
// begin with a valid sequence.
inline std::optional<char32_t> TakeCodePoint(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    text.remove_prefix(1);
    return first;
  }
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  // 0x80-0xC1 are continuations and overlong forms, 0xF5 and up begin nothing.
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return std::nullopt;
  char32_t code = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return std::nullopt;
  text.remove_prefix(length);
  return code;
}

// C0, delete and C1.
inline bool IsControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code <= 0x9F); }

// Unicode's White_Space.
inline bool IsWhiteSpace(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_UTF8_H_
