#ifndef MESHGATE_SERVER_LIMITS_CALLER_KEY_H_
#define MESHGATE_SERVER_LIMITS_CALLER_KEY_H_

#include <string>
#include <string_view>

#include "server/auth/guard.h"
#include "server/service/call.h"

namespace meshgate::server::limits {

// Whose use of the gateway a call counts as: that of the token, where Consul has known it lately; otherwise of the name
// in a certificate that was verified; otherwise of the peer's address. So whoever makes up tokens gains nothing by it.
// `guard` may be null. No token is in it: tokens are named by their keyed hash.
std::string CallerKey(const Caller& caller, auth::Guard* guard);

// Without the port. Of IPv6 the network of 64 bits, all of which one host may have.
std::string AddressOf(std::string_view peer);

}  // namespace meshgate::server::limits

#endif  // MESHGATE_SERVER_LIMITS_CALLER_KEY_H_
