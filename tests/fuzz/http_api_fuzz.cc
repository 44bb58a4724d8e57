// What the HTTP API reads: paths, queries, bodies in JSON, and the headers that it takes apart.
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/http/api/conditions.h"
#include "server/http/api/fields.h"
#include "server/http/api/json.h"
#include "server/http/gzip.h"
#include "server/http/router.h"
#include "server/http/uri.h"
#include "tests/fuzz/input.h"

namespace meshgate::fuzz {
namespace {

// What is taken from JSON can be said in JSON, and is taken for the same again.
template <typename Request>
void Json(const std::string& body) {
  Request request, again;
  if (!server::api::FromJson(body, &request).ok()) return;
  const auto json = server::api::ToJson(request);
  MESHGATE_FUZZ_CHECK(json.ok());
  MESHGATE_FUZZ_CHECK(json->find('\n') == std::string::npos);
  MESHGATE_FUZZ_CHECK(server::api::FromJson(*json, &again).ok());
  MESHGATE_FUZZ_CHECK(request.ByteSizeLong() == again.ByteSizeLong());
}

// One answer, whatever the path; what it has decoded is no longer than what was sent.
void Route(const std::string& path) {
  static const auto& router = *[] {
    auto* const made = new server::Router;
    for (const char* pattern : {"/a/{key=**}", "/a/b", "/s/{name}", "/s/{name}/{other}/c"}) {
      made->Add("GET", pattern, [](const server::HttpRequest& request, server::HttpReply reply) {
        for (const auto& [name, value] : request.variables) MESHGATE_FUZZ_CHECK(value.size() <= request.path.size());
        reply({});
      });
    }
    return made;
  }();
  server::HttpRequest request;
  request.method = "GET";
  request.path = path;
  int answers = 0;
  router.Handle(std::move(request), [&answers](const server::HttpResponse&) { ++answers; });
  MESHGATE_FUZZ_CHECK(answers == 1);
}

void Headers(const std::string& text) {
  server::AcceptsGzip(text);
  server::api::HasCurrent(text, 7);
  server::HttpRequest request;
  request.headers = {{"if-match", text}};
  const auto condition = server::api::WriteCondition(request);
  // A condition that was sent is never none.
  MESHGATE_FUZZ_CHECK(!condition.ok() || (condition->has_value() && **condition != 0));
}

void Fields(const std::string& query) {
  const auto parameters = server::ParseQuery(query);
  if (!parameters.ok()) return;
  static constexpr const char* kPaths[] = {"key", "options.min_index", "options.max_age", "options.consistency"};
  for (const char* path : kPaths) {
    v1::GetConfigRequest request;
    for (const auto& [name, value] : *parameters) {
      MESHGATE_FUZZ_CHECK(value.size() <= query.size());
      server::api::SetField("x", path, value, &request).IgnoreError();
    }
  }
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate;  // NOLINT
  static auto* const quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  fuzz::Input input(data, size);
  const uint8_t kind = input.Byte();
  const std::string text(input.rest());
  switch (kind % 6) {
    case 0:
      fuzz::Json<v1::PutConfigRequest>(text);
      break;
    case 1:
      fuzz::Json<v1::CommitConfigRequest>(text);
      break;
    case 2:
      fuzz::Json<v1::RegisterRequest>(text);
      break;
    case 3:
      fuzz::Route(text);
      break;
    case 4:
      fuzz::Fields(text);
      break;
    default:
      fuzz::Headers(text);
      break;
  }
  return 0;
}
