// Between the domain's values (consul/types.h) and the messages of the API (proto/meshgate/v1), beside what the watch's
// messages need too (consul/watch/encode.h).
#ifndef MESHGATE_SERVER_SERVICE_CONVERT_H_
#define MESHGATE_SERVER_SERVICE_CONVERT_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/types.h"
#include "google/protobuf/duration.pb.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::server {

// ---- To the API. `out` is empty.

// `with_value` false leaves the value out: the rest is what a list of keys shows.
void ToApi(const consul::KvEntry& entry, bool with_value, v1::ConfigEntry* out);
void ToApi(const consul::ServiceSummary& summary, v1::ListServicesResponse::Service* out);
void ToApi(absl::Duration duration, google::protobuf::Duration* out);

// Each of them is work for the agent for as long as the instance is registered.
inline constexpr int kMaxChecks = 64;

// ---- From the API. Errors are INVALID_ARGUMENT and name the field.

// What a caller may report. HEALTH_STATUS_UNSPECIFIED gives `unspecified`. Maintenance is refused: it is an operator's
// switch in Consul, not the result of a check.
absl::StatusOr<consul::Health> ParseHealth(std::string_view field, v1::HealthStatus status, consul::Health unspecified);

// A registration that consul::ValidateRegistration has found good. An empty id becomes the service's name, absent
// weights 1 and 1, an unspecified initial status critical.
absl::StatusOr<consul::Registration> ParseRegistration(const v1::RegisterRequest& request);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_CONVERT_H_
