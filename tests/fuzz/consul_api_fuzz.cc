// What a request to Consul's own API says in its query, and a registration in its body.
#include <algorithm>
#include <string>

#include "consul/check_allow_list.h"
#include "server/http/consul/check_scan.h"
#include "server/http/consul/parameters.h"
#include "tests/fuzz/input.h"

namespace {

using namespace meshgate::server;              // NOLINT
using namespace meshgate::server::consul_api;  // NOLINT

// In whatever order they come, and however they are encoded, the same parameters are one query.
void CheckQuery(const std::string& query) {
  const auto parameters = Parameters::Parse(query);
  if (!parameters.ok()) return;
  const auto how = HowToRead(*parameters);
  if (how.ok()) {
    MESHGATE_FUZZ_CHECK(how->wait > absl::ZeroDuration() && how->wait <= absl::Minutes(10));
    MESHGATE_FUZZ_CHECK(how->mode != meshgate::consul::ReadMode::kConsistent || !how->cached);
  }
  const std::string canonical = CanonicalQuery("/v1/a", *parameters);
  const size_t question = canonical.find('?');
  const std::string again = question == std::string::npos ? "" : canonical.substr(question + 1);
  const auto reparsed = Parameters::Parse(again);
  MESHGATE_FUZZ_CHECK(reparsed.ok());
  MESHGATE_FUZZ_CHECK(CanonicalQuery("/v1/a", *reparsed) == canonical);
  MESHGATE_FUZZ_CHECK(!reparsed->has("token") && !reparsed->has("index"));

  HttpRequest http;
  http.path = "/v1/a";
  http.query = query;
  const std::string kept = TargetWithout(http, {"token"});
  const size_t begin = kept.find('?');
  const auto left = Parameters::Parse(begin == std::string::npos ? "" : kept.substr(begin + 1));
  MESHGATE_FUZZ_CHECK(left.ok() && !left->has("token"));
  const auto named = [](const auto& list, bool token) {
    return std::count_if(list.begin(), list.end(),
                         [token](const auto& one) { return (one.first == "token") == token; });
  };
  MESHGATE_FUZZ_CHECK(named(left->all(), false) == named(parameters->all(), false));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  meshgate::fuzz::Input input(data, size);
  static const meshgate::consul::CheckAllowList nothing;
  const uint8_t what = input.Byte() % 3;
  const std::string text(input.rest());
  if (what == 0) {
    CheckQuery(text);
  } else if (what == 1) {
    static_cast<void>(ScanServiceChecks(text, nothing));
  } else {
    static_cast<void>(ScanCheck(text, nothing));
  }
  return 0;
}
