// Keys, prefixes, names and ids that callers give, and the paths of Consul's that are made of them.
#include <string>
#include <string_view>

#include "consul/http/paths.h"
#include "consul/validate.h"
#include "tests/fuzz/input.h"

namespace {

int Digit(char c) {
  MESHGATE_FUZZ_CHECK((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
  return c <= '9' ? c - '0' : c - 'A' + 10;
}

std::string Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      MESHGATE_FUZZ_CHECK(std::string_view("?#&+= \\").find(text[i]) == std::string_view::npos);
      out += text[i];
      continue;
    }
    MESHGATE_FUZZ_CHECK(i + 2 < text.size());
    out += static_cast<char>(Digit(text[i + 1]) * 16 + Digit(text[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::consul;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Whatever it is.
  MESHGATE_FUZZ_CHECK(Decoded(http::EncodeKey(text)) == text);
  MESHGATE_FUZZ_CHECK(Decoded(http::EncodeSegment(text)) == text);
  if (ValidateKey("key", text).ok()) {
    MESHGATE_FUZZ_CHECK(ValidatePrefix("prefix", text).ok());
    // What a server would take for another path.
    const std::string path = "/" + http::EncodeKey(text) + "/";
    for (const char* other : {"//", "/./", "/../"}) {
      const size_t at = path.find(other);
      MESHGATE_FUZZ_CHECK(at == std::string::npos || (text.back() == '/' && at == path.size() - 2));
    }
  }
  if (ValidateInstanceId("id", text).ok()) {
    const std::string segment = http::EncodeSegment(text);
    MESHGATE_FUZZ_CHECK(segment.find('/') == std::string::npos && segment != "." && segment != "..");
  }
  if (ValidateServiceName("service", text).ok()) MESHGATE_FUZZ_CHECK(http::EncodeSegment(text) == text);
  return 0;
}
