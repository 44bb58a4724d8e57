// Where reads end must make no difference to what passes, and what passes is what was sent but for the frames that are
// meant to be dropped.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/wire/frame_guard.h"
#include "tests/fuzz/input.h"

namespace meshgate::fuzz {
namespace {

using server::wire::FrameGuard;

using Windows = std::vector<std::pair<int32_t, uint32_t>>;

struct Outcome {
  std::string passed;
  Windows windows;
  bool flooded = false;
};

Outcome Feed(std::string_view bytes, Choices* choices) {
  FrameGuard guard;
  Outcome outcome;
  while (!bytes.empty() && !outcome.flooded) {
    std::string_view piece = bytes;
    if (choices != nullptr) {
      piece = choices->Split(&bytes);
    } else {
      bytes = {};
    }
    const auto pass = [&](std::string_view some) {
      MESHGATE_FUZZ_CHECK(!some.empty());
      outcome.passed += some;
      return true;
    };
    const bool fine = guard.Feed(piece, absl::UnixEpoch(), pass, [&](int32_t stream, uint32_t increment) {
      outcome.windows.emplace_back(stream, increment);
    });
    outcome.flooded = guard.flooded();
    MESHGATE_FUZZ_CHECK(fine != outcome.flooded);
  }
  return outcome;
}

// The same without an eye on cost; absent where the peer floods.
std::optional<std::string> Expected(std::string_view bytes, Windows* windows) {
  constexpr size_t kPreface = 24, kHeader = 9;
  constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kGoAway = 7, kWindow = 8, kContinuation = 9;
  std::string passes(bytes.substr(0, kPreface));
  bytes.remove_prefix(passes.size());
  uint32_t highest = 0;
  bool greeted = false, in_block = false, said_goodbye = false;
  double idle = FrameGuard::kBurst, wide = FrameGuard::kWideBurst;
  while (bytes.size() >= kHeader) {
    const auto at = [&](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
    const uint32_t length = at(0) << 16 | at(1) << 8 | at(2), type = at(3), flags = at(4);
    const uint32_t stream = (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffffU;
    if (type == kHeaders) highest = std::max(highest, stream);
    if (type == kHeaders || type == kContinuation) in_block = (flags & 4) == 0;
    greeted = greeted || type == kSettings;
    const bool farewell = type == kGoAway && stream == 0 && !in_block && length >= 8 && length <= 16384;
    const bool drop = (type == kReset && stream > highest && length == 4) || (farewell && said_goodbye);
    said_goodbye = said_goodbye || farewell;
    const bool carries =
        type == kHeaders || type == kContinuation || (type == kData && (length > 0 || (flags & 1) != 0));
    if (!carries) --idle;
    if (type == kGoAway || (type == kSettings && (flags & 1) == 0)) --wide;
    if (idle < 0 || wide < 0) return std::nullopt;
    const std::string_view frame = bytes.substr(0, kHeader + length);
    bool window = type == kWindow && length == 4 && greeted && !in_block &&
                  (stream == 0 || (stream % 2 == 1 && stream <= highest));
    if (window && frame.size() < kHeader + 4) return passes;
    if (window) {
      const uint32_t increment = (at(9) << 24 | at(10) << 16 | at(11) << 8 | at(12)) & 0x7fffffffU;
      window = increment > 0;
      if (window) windows->emplace_back(static_cast<int32_t>(stream), increment);
    }
    if (!drop && !window) passes += frame;
    bytes.remove_prefix(frame.size());
  }
  return passes;
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::fuzz;  // NOLINT
  Input input(data, size);
  Choices choices(input.U16());
  const Outcome whole = Feed(input.rest(), nullptr), split = Feed(input.rest(), &choices);
  Windows windows;
  const std::optional<std::string> expected = Expected(input.rest(), &windows);
  MESHGATE_FUZZ_CHECK(whole.flooded == !expected.has_value());
  MESHGATE_FUZZ_CHECK(split.flooded == whole.flooded);
  if (!whole.flooded) {
    MESHGATE_FUZZ_CHECK(whole.passed == *expected);
    MESHGATE_FUZZ_CHECK(split.passed == whole.passed);
    MESHGATE_FUZZ_CHECK(whole.windows == windows);
    MESHGATE_FUZZ_CHECK(split.windows == windows);
  }
  return 0;
}
