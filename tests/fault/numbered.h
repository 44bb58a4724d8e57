#ifndef MESHGATE_TESTS_FAULT_NUMBERED_H_
#define MESHGATE_TESTS_FAULT_NUMBERED_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace meshgate::fault {

// What tells every write of a name (a key, a service instance) from every other: who wrote, and which of the writer's
// own writes of that name it was, 1 and up. The version alone does for names with one writer.
struct Numbered {
  uint64_t version = 0;
  int writer = 0;

  bool operator==(const Numbered& o) const { return version == o.version && writer == o.writer; }
  bool operator!=(const Numbered& o) const { return !(*this == o); }
  bool operator<(const Numbered& o) const { return std::tie(version, writer) < std::tie(o.version, o.writer); }
};

// The bytes to store under `name`, padded to at least `size`. Every byte follows from the arguments.
std::string ToValue(std::string_view name, const Numbered& numbered, size_t size = 0);

// The inverse. Absent for bytes that ToValue() has not made for this name, be it that one byte differs.
std::optional<Numbered> FromValue(std::string_view name, std::string_view value);

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_NUMBERED_H_
