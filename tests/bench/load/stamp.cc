#include "tests/bench/load/stamp.h"

#include <string.h>

#include "absl/strings/str_format.h"

namespace meshgate::bench {
namespace {

constexpr std::string_view kMark = "@@change";
constexpr size_t kDigits = 12;

}  // namespace

std::string StampedValue(uint64_t change, size_t bytes) {
  std::string value = absl::StrFormat("%s%012d", std::string(kMark), change);
  if (value.size() < bytes) value.resize(bytes, '.');
  return value;
}

std::optional<uint64_t> FindStamp(std::string_view message) {
  const void* found = memmem(message.data(), message.size(), kMark.data(), kMark.size());
  if (found == nullptr) return std::nullopt;
  const char* digits = static_cast<const char*>(found) + kMark.size();
  if (digits + kDigits > message.data() + message.size()) return std::nullopt;
  uint64_t change = 0;
  for (size_t i = 0; i < kDigits; ++i) change = 10 * change + static_cast<uint64_t>(digits[i] - '0');
  return change;
}

}  // namespace meshgate::bench
