#include "server/http/admin.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/strings.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/wrappers.pb.h"
#include "server/version.h"

namespace meshgate::server {
namespace {

HttpResponse Fresh(HttpResponse response) {
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

std::string ReadinessJson(const Readiness& readiness) {
  google::protobuf::StringValue reason;
  reason.set_value(readiness.reason);
  std::string quoted;
  static_cast<void>(google::protobuf::util::MessageToJsonString(reason, &quoted));
  return absl::StrCat("{\"ready\":", readiness.ready ? "true" : "false", ",\"reason\":", quoted, "}\n");
}

}  // namespace

void AddAdminRoutes(AdminSources sources, Router* router) {
  auto shared = std::make_shared<const AdminSources>(std::move(sources));
  router->Add("GET", "/", [](const HttpRequest&, HttpReply reply) {
    HttpResponse response;
    response.body = absl::StrCat("meshgate ", ToAbsl(Version()),
                                 "\n\n"
                                 "/api/v1/  keys, services and their changes as JSON\n"
                                 "/v1/      the same as Consul's own API has it, for programs that speak it\n"
                                 "/openapi.json\n"
                                 "          the same, for programs that make clients\n"
                                 "/livez    whether the process runs\n"
                                 "/readyz   whether it can do its work\n"
                                 "/metrics  for Prometheus\n");
    reply(std::move(response));
  });
  router->Add("GET", "/livez", [](const HttpRequest&, HttpReply reply) {
    HttpResponse response;
    response.body = "ok\n";
    reply(Fresh(std::move(response)));
  });
  router->Add("GET", "/readyz", [shared](const HttpRequest&, HttpReply reply) {
    const Readiness readiness = shared->readiness();
    HttpResponse response;
    response.status = readiness.ready ? 200 : 503;
    response.content_type = "application/json";
    response.body = ReadinessJson(readiness);
    reply(Fresh(std::move(response)));
  });
  router->Add("GET", "/metrics", [shared](const HttpRequest&, HttpReply reply) {
    HttpResponse response;
    response.content_type = shared->metrics_content_type;
    response.body = shared->metrics();
    reply(Fresh(std::move(response)));
  });
}

}  // namespace meshgate::server
