// Conditional requests (RFC 9110, 13): an entity tag is the modify index of a key, in quotes.
#ifndef MESHGATE_SERVER_HTTP_API_CONDITIONS_H_
#define MESHGATE_SERVER_HTTP_API_CONDITIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/http/router.h"

namespace meshgate::server::api {

std::string EntityTag(uint64_t modify_index);

// Whether a client that has sent this If-None-Match has the current state.
bool HasCurrent(std::string_view if_none_match, uint64_t modify_index);

// What a write depends on: the modify index that If-Match names, 0 for "If-None-Match: *", or nothing.
// INVALID_ARGUMENT for conditions that a write of one key cannot be bound to.
absl::StatusOr<std::optional<uint64_t>> WriteCondition(const HttpRequest& http);

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_CONDITIONS_H_
