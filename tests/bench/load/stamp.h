#ifndef MESHGATE_TESTS_BENCH_LOAD_STAMP_H_
#define MESHGATE_TESTS_BENCH_LOAD_STAMP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace meshgate::bench {

// A value that says which change it is, wherever in a message it stands. At least 32 bytes.
std::string StampedValue(uint64_t change, size_t bytes);

// The change of the first such value in a message; nullopt where there is none.
std::optional<uint64_t> FindStamp(std::string_view message);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_STAMP_H_
