// Tokens come back from callers, who may have changed them.
#include <string>

#include "server/service/page_token.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::server;  // NOLINT
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto position = DecodePageToken(text, "cfg/", "dc1"); position.ok()) {
    MESHGATE_FUZZ_CHECK(EncodePageToken(*position, "cfg/", "dc1") == text);
    MESHGATE_FUZZ_CHECK(!DecodePageToken(text, "other/", "dc1").ok());
  }
  // Made by us, of any key: "cfg/" and the rest.
  const PagePosition made{"cfg/" + text.substr(0, 1000), size};
  const auto read = DecodePageToken(EncodePageToken(made, "cfg/", ""), "cfg/", "");
  MESHGATE_FUZZ_CHECK(read.ok() && read->after == made.after && read->index == made.index);
  return 0;
}
