// Where checks lead, as callers say and as --check_allow has it, held against libcurl's reading of the same text.
#include <curl/curl.h>

#include <string>
#include <string_view>

#include "consul/base/ip_address.h"
#include "consul/check_allow_list.h"
#include "consul/probe_host.h"
#include "consul/validate.h"
#include "tests/fuzz/input.h"

namespace {

using namespace meshgate;          // NOLINT
using namespace meshgate::consul;  // NOLINT

// The host that libcurl would connect to, without brackets; empty where it takes the URL for none.
std::string CurlsHost(const std::string& url) {
  CURLU* parsed = curl_url();
  char* host = nullptr;
  std::string out;
  if (curl_url_set(parsed, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
    out = host;
    if (!out.empty() && out.front() == '[') out = out.substr(1, out.size() - 2);
  }
  curl_free(host);
  curl_url_cleanup(parsed);
  return out;
}

void Probe(const CheckDefinition& check, const std::string& url) {
  Registration registration;
  registration.id = registration.service = "web";
  registration.address = "10.0.0.5";
  registration.checks = {check};
  registration.checks[0].interval = absl::Seconds(1);
  if (!ValidateRegistration(registration).ok()) return;
  const std::string_view host = ProbeHost(check).value();
  MESHGATE_FUZZ_CHECK(IsHost(host));
  const auto address = IpAddress::Parse(host);
  const std::string curls = CurlsHost(url);
  // Empty: it would not connect at all. No notation of an address hides behind a name.
  MESHGATE_FUZZ_CHECK(curls.empty() || IpAddress::Parse(curls) == address);
  MESHGATE_FUZZ_CHECK(curls.empty() || address.has_value() || curls == host);
  const bool own = address.has_value() && address == IpAddress::Parse("10.0.0.5");
  MESHGATE_FUZZ_CHECK(CheckAllowList().Validate(registration).ok() == own);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t kind = input.Byte();
  const std::string text(input.rest());
  CheckDefinition check;
  switch (kind % 4) {
    case 0:
      check.probe = HttpProbe{text, "", {}, false};
      Probe(check, text);
      break;
    case 1:
      check.probe = TcpProbe{text};
      Probe(check, "http://" + text);
      break;
    case 2:
      check.probe = GrpcProbe{text, false};
      Probe(check, "http://" + text.substr(0, text.find('/')));
      break;
    default:
      if (const auto list = CheckAllowList::Parse({text}); list.ok()) {
        // What has to be listed by itself is not there by a range of everything.
        check.probe = TcpProbe{"169.254.169.254:80"};
        const bool listed = !list->Refusal("", check).has_value();
        MESHGATE_FUZZ_CHECK(!listed || text.compare(0, 8, "169.254.") == 0 || text.find(':') != std::string::npos);
      }
      break;
  }
  return 0;
}
