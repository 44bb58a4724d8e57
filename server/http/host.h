#ifndef MESHGATE_SERVER_HTTP_HOST_H_
#define MESHGATE_SERVER_HTTP_HOST_H_

#include <string_view>

#include "server/http/router.h"

namespace meshgate::server {

// Whether a request's Host is an address, or localhost, which nobody else can have lead here.
bool IsOwnHost(std::string_view host);

// Refuses calls of the API with 403 (HOST_NOT_ALLOWED) whose Host is any other name: a page in a browser on this host
// has its name lead to the loopback, and is of one origin with the gateway then (DNS rebinding). For a plain listener
// on the loopback that asks nobody who they are: with TLS the name is not the certificate's.
HttpFilter LoopbackHostFilter();

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HOST_H_
