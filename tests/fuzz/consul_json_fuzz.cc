// What Consul, or something in its place, answers.
#include <algorithm>
#include <string>

#include "consul/http/parse.h"
#include "tests/fuzz/input.h"

using namespace meshgate::consul::http;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  if (const auto entries = ParseEntries(body); entries.ok()) {
    MESHGATE_FUZZ_CHECK(
        std::is_sorted(entries->begin(), entries->end(), [](const auto& a, const auto& b) { return a.key < b.key; }));
  }
  (void)ParseInstances(body);
  if (const auto services = ParseCatalog(body); services.ok()) {
    MESHGATE_FUZZ_CHECK(std::is_sorted(services->begin(), services->end(),
                                       [](const auto& a, const auto& b) { return a.name < b.name; }));
  }
  (void)ParseTxn(body);
  (void)ParseTxnErrors(body);
  (void)ParseTxnInstances(body);
  (void)ParseAuthorized(body);
  if (const auto service = ParseAgentService(body); service.ok()) MESHGATE_FUZZ_CHECK(!service->empty());
  (void)ParseTtlChecks(body, "web-1");
  (void)ParseLeader(body);
  return 0;
}
