// Consul's own HTTP API under /v1/: programs that speak it need not know that it is not Consul which answers.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_ROUTES_H_
#define MESHGATE_SERVER_HTTP_CONSUL_ROUTES_H_

#include <memory>

#include "server/http/consul/call.h"
#include "server/http/router.h"

namespace meshgate::server::consul_api {

// Adds the routes. What is in `sources`, but for `waiters`, outlives the router and every request.
//
// With Consul behind the gateway, reads that the hub can hold come from it where the consistency that is asked for
// allows, blocking queries above all; everything else goes to Consul as it is. The gateway's own token is lent, where
// nobody is asked for permission and the caller brings none, to what concerns keys, services, checks and sessions.
//
// With the embedded store, or where the gateway decides by itself what callers may do, what it has an answer to works;
// the rest is 501.
void AddRoutes(const Sources& sources, Router* router);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_ROUTES_H_
