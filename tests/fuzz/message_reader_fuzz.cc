// Where DATA frames end must make no difference to the messages, and none is larger than it may be.
#include <string>
#include <vector>

#include "server/wire/message_reader.h"
#include "tests/fuzz/input.h"

namespace meshgate::fuzz {
namespace {

using server::wire::Encoding;
using server::wire::MessageReader;

struct Outcome {
  std::vector<std::string> messages;
  absl::Status status;
  bool at_boundary = false;
};

Outcome Read(Encoding encoding, size_t max, std::string_view bytes, Choices* choices) {
  MessageReader reader(encoding, max);
  Outcome outcome;
  while (!bytes.empty() && outcome.status.ok()) {
    std::string_view piece = bytes;
    if (choices != nullptr) {
      piece = choices->Split(&bytes);
    } else {
      bytes = {};
    }
    outcome.status = reader.Add(piece, [&](std::string message) {
      MESHGATE_FUZZ_CHECK(message.size() <= max);
      outcome.messages.push_back(std::move(message));
      return true;
    });
  }
  outcome.at_boundary = reader.AtBoundary();
  return outcome;
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::fuzz;  // NOLINT
  Input input(data, size);
  const auto encoding = static_cast<Encoding>(input.Byte() % 3);
  const size_t max = size_t{1} << (input.Byte() % 18);
  Choices choices(input.U16());
  const Outcome whole = Read(encoding, max, input.rest(), nullptr);
  const Outcome split = Read(encoding, max, input.rest(), &choices);
  MESHGATE_FUZZ_CHECK(whole.messages == split.messages);
  MESHGATE_FUZZ_CHECK(whole.status == split.status);
  if (whole.status.ok()) MESHGATE_FUZZ_CHECK(whole.at_boundary == split.at_boundary);
  return 0;
}
