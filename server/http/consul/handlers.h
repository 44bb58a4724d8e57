// What is done about the requests of each family of paths.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_HANDLERS_H_
#define MESHGATE_SERVER_HTTP_CONSUL_HANDLERS_H_

#include "server/http/consul/call.h"

namespace meshgate::server::consul_api {

// All take a request that has been let in, on its connection's thread, and answer it, then or later.
using Handler = void (*)(const SharedRequest&);

// ---- With Consul behind the gateway: from the hub what it can hold, the rest from Consul itself.

// GET of /v1/kv/.
void ReadKeys(const SharedRequest& request);
// Reads with an index of their own, such as those below /v1/health/.
void ReadIndexed(const SharedRequest& request);
// Everything else that the gateway's own token may be used for.
void PassOnLending(const SharedRequest& request);
// What is asked of Consul with the caller's own token alone.
void PassOnOwn(const SharedRequest& request);
// PUT of /v1/agent/service/register and /v1/agent/check/register, whose checks have to be allowed.
void PassOnService(const SharedRequest& request);
void PassOnCheck(const SharedRequest& request);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_HANDLERS_H_
