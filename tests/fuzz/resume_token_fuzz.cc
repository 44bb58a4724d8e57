// Tokens come back from readers, who may have changed them.
#include <optional>
#include <string_view>

#include "consul/watch/resume_token.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = meshgate::consul::ResumeToken::Parse(text);
  if (token.has_value()) MESHGATE_FUZZ_CHECK(token->ToString() == text);
  return 0;
}
