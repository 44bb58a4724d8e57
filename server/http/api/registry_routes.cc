#include <string>
#include <utility>

#include "server/http/api/routes.h"
#include "server/http/api/unary.h"

namespace meshgate::server::api {
namespace {

constexpr char kService[] = "meshgate.v1.RegistryService";
constexpr char kInstancePath[] = "/api/v1/instances/{id}";

template <typename Request, typename Response>
typename Unary<Request, Response>::Handler Bind(RegistryHandlers* handlers,
                                                void (RegistryHandlers::*method)(const Request&, const Caller&,
                                                                                 Reply<Response>)) {
  return [handlers, method](const Request& request, const Caller& caller, Reply<Response> reply) {
    (handlers->*method)(request, caller, std::move(reply));
  };
}

}  // namespace

void AddRegistryRoutes(RegistryHandlers* handlers, const Environment& environment, std::vector<Route>* routes,
                       Router* router) {
  Unary<v1::ListServicesRequest, v1::ListServicesResponse> list;
  list.route = {"GET",   "/api/v1/services", kService, "ListServices", "Lists the services with their tags.", nullptr,
                nullptr, Route::Body::kNone};
  list.route.parameters = ReadParameters();
  list.handler = Bind(handlers, &RegistryHandlers::ListServices);
  Serve(std::move(list), environment, routes, router);

  Unary<v1::DiscoverRequest, v1::DiscoverResponse> discover;
  discover.route = {"GET",
                    "/api/v1/services/{service}",
                    kService,
                    "Discover",
                    "Returns the instances of a service.",
                    nullptr,
                    nullptr,
                    Route::Body::kNone};
  discover.route.variables = {{"service", "service", ""}};
  discover.route.parameters = {{"tags", "tags", "More than one: every tag must be present."},
                               {"include_unhealthy", "include_unhealthy", "Also those whose checks don't pass."},
                               {"filter", "filter", "A Consul filter expression."},
                               {"near", "near", "Sort by network distance from this node."}};
  for (Parameter& parameter : ReadParameters()) discover.route.parameters.push_back(std::move(parameter));
  discover.handler = Bind(handlers, &RegistryHandlers::Discover);
  Serve(std::move(discover), environment, routes, router);

  const auto bind_register = Bind(handlers, &RegistryHandlers::Register);
  Unary<v1::RegisterRequest, v1::RegisterResponse> post;
  post.route = {"POST",
                "/api/v1/instances",
                kService,
                "Register",
                "Registers an instance; without an id it gets the service's name.",
                nullptr,
                nullptr,
                Route::Body::kJson};
  post.handler = bind_register;
  Serve(std::move(post), environment, routes, router);

  Unary<v1::RegisterRequest, v1::RegisterResponse> put;
  put.route = {"PUT",   kInstancePath, kService,          "Register", "Registers an instance, or replaces it.",
               nullptr, nullptr,       Route::Body::kJson};
  put.route.variables = {{"id", "instance.id", ""}};
  put.handler = bind_register;
  Serve(std::move(put), environment, routes, router);

  Unary<v1::DeregisterRequest, v1::DeregisterResponse> remove;
  remove.route = {"DELETE", kInstancePath, kService,          "Deregister", "Removes an instance.",
                  nullptr,  nullptr,       Route::Body::kNone};
  remove.route.variables = {{"id", "id", ""}};
  remove.handler = Bind(handlers, &RegistryHandlers::Deregister);
  Serve(std::move(remove), environment, routes, router);

  Unary<v1::HeartbeatRequest, v1::HeartbeatResponse> beat;
  beat.route = {"PUT",
                "/api/v1/instances/{id}/heartbeat",
                kService,
                "Heartbeat",
                "Reports the health of an instance with a TTL check.",
                nullptr,
                nullptr,
                Route::Body::kOptionalJson};
  beat.route.variables = {{"id", "id", ""}};
  beat.route.parameters = {{"status", "status", "passing without it."}, {"note", "note", "For people who look at it."}};
  beat.handler = Bind(handlers, &RegistryHandlers::Heartbeat);
  Serve(std::move(beat), environment, routes, router);
}

}  // namespace meshgate::server::api
