// Records and headers as they may be found on a disk.
#include <optional>
#include <string>

#include "consul/last_known/codec.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::consul;              // NOLINT
  using namespace meshgate::consul::last_known;  // NOLINT
  meshgate::fuzz::Input input(data, size);
  const uint8_t choice = input.Byte();
  const std::string_view bytes = input.rest();
  if (choice % 2 == 0) {
    if (const auto header = DecodeHeader(bytes)) {
      const auto again = DecodeHeader(EncodeHeader(*header));
      MESHGATE_FUZZ_CHECK(again.has_value() && again->target == header->target && again->index == header->index &&
                          again->checksum == header->checksum && again->records == header->records);
    }
    return 0;
  }
  const size_t name = std::min<size_t>(input.Byte(), bytes.size() / 2);
  const std::string_view identity = input.rest().substr(0, name), record = input.rest().substr(name);
  for (const auto kind : {TargetKind::kKey, TargetKind::kPrefix, TargetKind::kService, TargetKind::kCatalog}) {
    State state;
    if (!DecodeRecord(kind, identity, record, &state)) continue;
    MESHGATE_FUZZ_CHECK(CountRecords(kind, state) == 1);
    MESHGATE_FUZZ_CHECK(RecordIdentity(kind, state, 0) == identity);
    State again;
    MESHGATE_FUZZ_CHECK(DecodeRecord(kind, identity, EncodeRecord(kind, state, 0), &again));
    MESHGATE_FUZZ_CHECK(Diff(kind, state, again).empty());
  }
  return 0;
}
