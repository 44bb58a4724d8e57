// Filters that callers give, as the embedded store reads them.
#include <memory>
#include <string_view>
#include <utility>

#include "consul/embedded/filter.h"
#include "tests/fuzz/input.h"

namespace {

using namespace meshgate::consul;            // NOLINT
using namespace meshgate::consul::embedded;  // NOLINT

InstanceRecord Example() {
  Registration r;
  r.id = "web-1";
  r.service = "web";
  r.port = 80;
  r.tags = {"a", "b"};
  r.meta = {{"version", "2"}, {"my-key", "z"}};
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(10)};
  r.checks = {ttl};
  InstanceRecord record;
  record.registration = std::make_shared<const Registration>(std::move(r));
  record.checks = {{Health::kWarning, ""}};
  return record;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& record = *new InstanceRecord(Example());
  static const auto& node = *new NodeInfo{"node-1", "127.0.0.1", "dc1"};
  // What the gateway lets through (kMaxFilterBytes).
  if (size > 4096) return 0;
  const auto filter = Filter::Parse({reinterpret_cast<const char*>(data), size});
  if (filter.ok()) {
    const bool matches = filter->Matches({record, node});
    MESHGATE_FUZZ_CHECK(filter->Matches({record, node}) == matches);
  } else {
    MESHGATE_FUZZ_CHECK(!filter.status().message().empty());
  }
  return 0;
}
