// Registrations as bytes: serialized meshgate.v1.RegisterRequest, whose compatibility rules are those of the API.
#ifndef MESHGATE_CONSUL_EMBEDDED_REGISTRATION_CODEC_H_
#define MESHGATE_CONSUL_EMBEDDED_REGISTRATION_CODEC_H_

#include <optional>
#include <string>

#include "consul/types.h"

namespace meshgate::consul::embedded {

std::string EncodeRegistration(const Registration& registration);

// Nothing where the bytes are not a registration.
std::optional<Registration> DecodeRegistration(const std::string& bytes);

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_REGISTRATION_CODEC_H_
