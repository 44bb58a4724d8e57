#ifndef MESHGATE_SERVER_HTTP_API_OPENAPI_H_
#define MESHGATE_SERVER_HTTP_API_OPENAPI_H_

#include <string>
#include <string_view>
#include <vector>

#include "server/http/api/route.h"
#include "server/http/router.h"

namespace meshgate::server::api {

// The OpenAPI 3.0 document of these routes, in JSON: made from what serves them and from the messages' descriptors, so
// that it cannot say anything else than they do.
std::string OpenApiDocument(const std::vector<Route>& routes, std::string_view version);

// Serves it at /openapi.json.
void AddOpenApiRoute(const std::vector<Route>& routes, std::string_view version, Router* router);

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_OPENAPI_H_
