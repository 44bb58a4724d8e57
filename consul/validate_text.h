// What the rules of validate.h share.
#ifndef MESHGATE_CONSUL_VALIDATE_TEXT_H_
#define MESHGATE_CONSUL_VALIDATE_TEXT_H_

#include <string_view>

#include "absl/strings/ascii.h"
#include "consul/base/utf8.h"

namespace meshgate::consul {

inline bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// What is wrong with the characters of `text`, or null.
inline const char* BadText(std::string_view text) {
  while (!text.empty()) {
    const auto code = TakeCodePoint(text);
    if (!code) return "must be valid UTF-8";
    if (IsControl(*code)) return "must not contain control characters";
  }
  return nullptr;
}

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_VALIDATE_TEXT_H_
