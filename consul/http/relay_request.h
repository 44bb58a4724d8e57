// What of a relayed request (consul/relay.h) reaches Consul, and what of the answer its caller. Pure functions.
#ifndef MESHGATE_CONSUL_HTTP_RELAY_REQUEST_H_
#define MESHGATE_CONSUL_HTTP_RELAY_REQUEST_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "consul/http/curl_loop.h"
#include "consul/relay.h"
#include "consul/reporter.h"

namespace meshgate::consul::http {

// All but the receiver. Without the headers that concern the caller's connection, that the loop sets, or that hold
// credentials: those are `token`'s. INVALID_ARGUMENT for what would end a line of the request and begin another, and
// for a method or a target that Relay does not take.
absl::StatusOr<Request> ToRequest(RelayRequest relayed);

// Without those that concern one connection alone, by RFC 9110, 7.6.1: some well-known ones, and those that
// "Connection" names.
HeaderList PassedOn(HeaderList headers);

// By the path.
Endpoint EndpointOf(std::string_view target);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_RELAY_REQUEST_H_
