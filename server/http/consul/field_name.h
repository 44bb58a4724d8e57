#ifndef MESHGATE_SERVER_HTTP_CONSUL_FIELD_NAME_H_
#define MESHGATE_SERVER_HTTP_CONSUL_FIELD_NAME_H_

#include <string>
#include <string_view>

namespace meshgate::server::consul_api {

// The name of a field of a JSON object as Consul compares it: in any case, with or without underscores, and with the
// two characters beyond ASCII that Go takes for one of its letters, the Kelvin sign and the long s.
std::string FieldName(std::string_view name);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_FIELD_NAME_H_
