// What a check names to connect to, taken apart.
#ifndef MESHGATE_CONSUL_PROBE_HOST_H_
#define MESHGATE_CONSUL_PROBE_HOST_H_

#include <optional>
#include <string_view>

#include "consul/types.h"

namespace meshgate::consul {

// Dots between labels of letters, digits, '-' and '_', of which the last one is no number (RFC 3696, WHATWG's URLs):
// what parsers take for an IPv4 address in one notation or another is no name. A final dot is allowed.
bool IsHostName(std::string_view host);

// A name, or an IP address in its usual notation.
bool IsHost(std::string_view host);

// "host", "host:port", "[v6]" or "[v6]:port". Returns what is wrong, or null and sets `host`, without brackets.
const char* SplitAuthority(std::string_view authority, bool port_required, std::string_view* host);

// The same for what a check holds. An HTTP check's URL begins with http:// or https://, and has no credentials.
const char* SplitUrl(std::string_view url, std::string_view* host);
const char* SplitTcpAddress(std::string_view address, std::string_view* host);
// `service`: what follows the slash, nullopt without one.
const char* SplitGrpcTarget(std::string_view target, std::string_view* host, std::optional<std::string_view>* service);

// Of a check that ValidateRegistration() has found good; nullopt for one that connects to nothing. Empty where it has
// not been looked at and is not good.
std::optional<std::string_view> ProbeHost(const CheckDefinition& check);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_PROBE_HOST_H_
