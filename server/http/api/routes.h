#ifndef MESHGATE_SERVER_HTTP_API_ROUTES_H_
#define MESHGATE_SERVER_HTTP_API_ROUTES_H_

#include <vector>

#include "server/http/api/call.h"
#include "server/http/api/route.h"
#include "server/http/router.h"
#include "server/service/config_handlers.h"
#include "server/service/registry_handlers.h"

namespace meshgate::server::api {

// Add what is served under /api/v1/ to a router, and what is to be known about it to `routes`. The handlers, and what
// is in `environment`, outlive the router and every call.
void AddConfigRoutes(ConfigHandlers* handlers, const Environment& environment, std::vector<Route>* routes,
                     Router* router);
void AddRegistryRoutes(RegistryHandlers* handlers, const Environment& environment, std::vector<Route>* routes,
                       Router* router);

void AddWatchRoutes(ConfigHandlers* config, RegistryHandlers* registry, const Environment& environment,
                    std::vector<Route>* routes, Router* router);

// Parameters that several routes have.
std::vector<Parameter> ReadParameters();

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_ROUTES_H_
