// gRPC's encodings in HTTP/2's headers.
#include <optional>
#include <string>

#include "server/wire/header_codec.h"
#include "tests/fuzz/input.h"

namespace meshgate::fuzz {
namespace {

std::string PercentDecode(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    MESHGATE_FUZZ_CHECK(text[i] >= 0x20 && text[i] < 0x7f);
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    MESHGATE_FUZZ_CHECK(i + 2 < text.size());
    out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
    i += 2;
  }
  return out;
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::server::wire;  // NOLINT
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  MESHGATE_FUZZ_CHECK(meshgate::fuzz::PercentDecode(PercentEncode(bytes)) == bytes);
  MESHGATE_FUZZ_CHECK(Base64Decode(Base64Encode(bytes)) == bytes);
  if (const std::optional<std::string> decoded = Base64Decode(bytes)) {
    MESHGATE_FUZZ_CHECK(Base64Decode(Base64Encode(*decoded)) == *decoded);
    MESHGATE_FUZZ_CHECK(decoded->size() <= bytes.size());
  }
  if (const std::optional<absl::Duration> timeout = ParseTimeout(bytes)) {
    MESHGATE_FUZZ_CHECK(*timeout >= absl::ZeroDuration() && *timeout < absl::InfiniteDuration());
  }
  (void)IsBinary(bytes);
  (void)IsGrpcContentType(bytes);
  return 0;
}
