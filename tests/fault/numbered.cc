#include "tests/fault/numbered.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "consul/base/strings.h"

namespace meshgate::fault {

std::string ToValue(std::string_view name, const Numbered& numbered, size_t size) {
  std::string value = absl::StrCat(ToAbsl(name), "#", numbered.version, "#", numbered.writer, "#", size, "#");
  if (value.size() < size) value.append(size - value.size(), static_cast<char>('a' + numbered.version % 26));
  return value;
}

std::optional<Numbered> FromValue(std::string_view name, std::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(ToAbsl(value), absl::MaxSplits('#', 4));
  Numbered numbered;
  uint64_t size = 0;
  if (parts.size() != 5 || !absl::SimpleAtoi(parts[1], &numbered.version) ||
      !absl::SimpleAtoi(parts[2], &numbered.writer) || !absl::SimpleAtoi(parts[3], &size) || size > (1u << 20)) {
    return std::nullopt;
  }
  if (ToValue(name, numbered, size) != value) return std::nullopt;
  return numbered;
}

}  // namespace meshgate::fault
