// Bridges between std::string_view, which our interfaces use, and absl::string_view, which the system's Abseil keeps as
// a type of its own with no conversion either way.
#ifndef MESHGATE_CONSUL_BASE_STRINGS_H_
#define MESHGATE_CONSUL_BASE_STRINGS_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace meshgate {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_STRINGS_H_
