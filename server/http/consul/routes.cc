#include "server/http/consul/routes.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/consul/answer.h"
#include "server/http/consul/handlers.h"
#include "server/http/consul/store_handlers.h"

namespace meshgate::server::consul_api {
namespace {

// As metrics and the log know them.
constexpr char kService[] = "consul.v1";

struct Route {
  const char* method;
  const char* pattern;
  // Of the metrics.
  const char* family;
  // With Consul behind the gateway.
  Handler with_consul;
  // With another store, or where Consul does not decide what callers may do. Null: 501.
  Handler with_store;
};

constexpr Route kRoutes[] = {
    {"GET", "/v1/kv/{key=**}", "Kv", ReadKeys, StoreGetKeys},
    {"PUT", "/v1/kv/{key=**}", "Kv", PassOnLending, StorePutKey},
    {"DELETE", "/v1/kv/{key=**}", "Kv", PassOnLending, StoreDeleteKeys},
    {"PUT", "/v1/txn", "Txn", PassOnLending, StoreCommit},

    {"GET", "/v1/health/service/{name=**}", "Health", ReadIndexed, StoreHealthService},
    {"GET", "/v1/health/checks/{name=**}", "Health", ReadIndexed, StoreHealthChecks},
    {"GET", "/v1/health/node/{name=**}", "Health", ReadIndexed, nullptr},
    {"GET", "/v1/health/state/{name=**}", "Health", ReadIndexed, nullptr},
    {"GET", "/v1/health/connect/{name=**}", "Health", ReadIndexed, nullptr},
    {"GET", "/v1/health/ingress/{name=**}", "Health", ReadIndexed, nullptr},

    {"GET", "/v1/catalog/datacenters", "Catalog", PassOnLending, StoreDatacenters},
    {"GET", "/v1/catalog/nodes", "Catalog", ReadIndexed, nullptr},
    {"GET", "/v1/catalog/services", "Catalog", ReadIndexed, StoreCatalogServices},
    {"GET", "/v1/catalog/service/{name=**}", "Catalog", ReadIndexed, StoreCatalogService},
    {"GET", "/v1/catalog/connect/{name=**}", "Catalog", ReadIndexed, nullptr},
    {"GET", "/v1/catalog/node/{name=**}", "Catalog", ReadIndexed, nullptr},
    {"GET", "/v1/catalog/node-services/{name=**}", "Catalog", ReadIndexed, nullptr},
    {"GET", "/v1/catalog/gateway-services/{name=**}", "Catalog", ReadIndexed, nullptr},
    {"PUT", "/v1/catalog/register", "Catalog", PassOnLending, nullptr},
    {"PUT", "/v1/catalog/deregister", "Catalog", PassOnLending, nullptr},

    {"GET", "/v1/agent/self", "Agent", PassOnLending, StoreSelf},
    {"GET", "/v1/agent/members", "Agent", PassOnLending, nullptr},
    {"GET", "/v1/agent/services", "Agent", PassOnLending, nullptr},
    {"GET", "/v1/agent/checks", "Agent", PassOnLending, nullptr},
    {"GET", "/v1/agent/service/{id=**}", "Agent", PassOnLending, nullptr},
    {"GET", "/v1/agent/health/service/name/{name=**}", "Agent", PassOnLending, nullptr},
    {"GET", "/v1/agent/health/service/id/{id=**}", "Agent", PassOnLending, nullptr},
    {"PUT", "/v1/agent/service/register", "Agent", PassOnService, StoreRegister},
    {"PUT", "/v1/agent/service/deregister/{id=**}", "Agent", PassOnLending, StoreDeregister},
    {"PUT", "/v1/agent/service/maintenance/{id=**}", "Agent", PassOnLending, nullptr},
    {"PUT", "/v1/agent/check/register", "Agent", PassOnCheck, nullptr},
    {"PUT", "/v1/agent/check/deregister/{id=**}", "Agent", PassOnLending, nullptr},
    {"PUT", "/v1/agent/check/pass/{id=**}", "Agent", PassOnLending, StorePassCheck},
    {"PUT", "/v1/agent/check/warn/{id=**}", "Agent", PassOnLending, StoreWarnCheck},
    {"PUT", "/v1/agent/check/fail/{id=**}", "Agent", PassOnLending, StoreFailCheck},
    {"PUT", "/v1/agent/check/update/{id=**}", "Agent", PassOnLending, StoreUpdateCheck},

    {"PUT", "/v1/session/create", "Session", PassOnLending, nullptr},
    {"PUT", "/v1/session/destroy/{id=**}", "Session", PassOnLending, nullptr},
    {"PUT", "/v1/session/renew/{id=**}", "Session", PassOnLending, nullptr},
    {"GET", "/v1/session/info/{id=**}", "Session", ReadIndexed, nullptr},
    {"GET", "/v1/session/node/{node=**}", "Session", ReadIndexed, nullptr},
    {"GET", "/v1/session/list", "Session", ReadIndexed, nullptr},

    {"GET", "/v1/status/leader", "Status", PassOnLending, StoreLeader},
    {"GET", "/v1/status/peers", "Status", PassOnLending, StorePeers},

    {"PUT", "/v1/event/fire/{name=**}", "Event", PassOnOwn, nullptr},
    {"GET", "/v1/event/list", "Event", PassOnLending, nullptr},
    {"GET", "/v1/coordinate/nodes", "Coordinate", ReadIndexed, nullptr},
    {"GET", "/v1/coordinate/node/{node=**}", "Coordinate", ReadIndexed, nullptr},
    {"GET", "/v1/coordinate/datacenters", "Coordinate", PassOnLending, nullptr},

    {"GET", "/v1/{rest=**}", "Other", PassOnOwn, nullptr},
    {"PUT", "/v1/{rest=**}", "Other", PassOnOwn, nullptr},
    {"POST", "/v1/{rest=**}", "Other", PassOnOwn, nullptr},
    {"DELETE", "/v1/{rest=**}", "Other", PassOnOwn, nullptr},
};

// Consul sends whoever uses them to another path, under which other permissions may count.
bool HasDots(const HttpRequest& http) {
  for (const auto& [name, value] : http.variables) {
    for (const absl::string_view segment : absl::StrSplit(value, '/')) {
      if (segment == "." || segment == "..") return true;
    }
  }
  return false;
}

// Consul decodes a path before it looks whose it is: what belongs to one route, with all that is checked there, must
// not come by as the rest.
bool IsOtherRoute(const HttpRequest& http) {
  const std::string path = absl::StrCat("/v1/", http.variable("rest"));
  return std::any_of(std::begin(kRoutes), std::end(kRoutes), [&path](const Route& route) {
    const absl::string_view pattern = route.pattern;
    const absl::string_view literal = pattern.substr(0, pattern.find('{'));
    if (literal == "/v1/") return false;
    return literal.size() == pattern.size() ? path == pattern : absl::StartsWith(path, literal);
  });
}

}  // namespace

void AddRoutes(const Sources& sources, Router* router) {
  auto shared = std::make_shared<const Sources>(sources);
  for (const Route& route : kRoutes) {
    const Handler chosen = sources.passes_on() ? route.with_consul : route.with_store;
    const Handler handler = chosen != nullptr ? chosen : NotServed;
    auto method = std::make_shared<const MethodInfo>(
        MethodInfo{kService, route.family,
                   sources.environment.reporter->Method(metrics::RpcReporter::Type::kUnary, kService, route.family)});
    router->Add(route.method, route.pattern, [shared, method, handler](const HttpRequest& http, HttpReply reply) {
      auto request = std::make_shared<Request>(method.get(), shared.get(), http, std::move(reply));
      const absl::Status admitted = request->waits() ? request->AdmitStream() : request->Admit();
      if (!admitted.ok()) return request->Fail(admitted);
      // Of all that changes something it is the one that pages may send without being asked for leave.
      if (http.method == "POST" && !http.header("origin").empty()) {
        return request->Fail(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied,
                                       "this is not served to pages in a browser: leave out the Origin header"));
      }
      if (HasDots(http)) {
        return request->Fail(InvalidField("path", "has a segment of dots, which names nothing: leave it out"));
      }
      if (!http.variable("rest").empty() && IsOtherRoute(http)) {
        return request->Fail(InvalidField("path", "is encoded where it need not be: write its letters as they are"));
      }
      handler(request);
    });
  }
}

}  // namespace meshgate::server::consul_api
