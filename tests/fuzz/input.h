// What a fuzz target makes of the bytes that it is given.
#ifndef MESHGATE_TESTS_FUZZ_INPUT_H_
#define MESHGATE_TESTS_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

// Ends the process where something that must be so is not; the fuzzer keeps the input.
#define MESHGATE_FUZZ_CHECK(condition)                                             \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

namespace meshgate::fuzz {

// Takes numbers from the front; what is left is the subject. An input that is over gives zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  uint32_t U16() {
    const uint32_t high = Byte();
    return high << 8 | Byte();
  }
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// Numbers without pattern that follow from a seed: where to split, what to do next. Taken from a generator and not from
// the input, so that a change of the input in one place leaves the rest of what happens as it was.
class Choices {
 public:
  explicit Choices(uint32_t seed) : state_(seed * 2654435761U + 1) {}

  // Below `count`, which is not 0.
  uint32_t Below(uint32_t count) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_ % count;
  }
  bool OneIn(uint32_t count) { return Below(count) == 0; }

  // Takes a piece off the front of `bytes`, mostly short.
  std::string_view Split(std::string_view* bytes) {
    const uint32_t most = OneIn(4) ? 4096 : 24;
    const std::string_view piece = bytes->substr(0, 1 + Below(most));
    bytes->remove_prefix(piece.size());
    return piece;
  }

 private:
  uint32_t state_;
};

}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // MESHGATE_TESTS_FUZZ_INPUT_H_
