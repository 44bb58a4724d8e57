// The parts of a request target that are encoded.
#ifndef MESHGATE_SERVER_HTTP_URI_H_
#define MESHGATE_SERVER_HTTP_URI_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace meshgate::server {

// Replaces each %XX, once: "%2541" is "%41". Nullopt where a "%" is not followed by two hexadecimal digits. "+" stays.
std::optional<std::string> PercentDecode(std::string_view text);

// Encodes everything but RFC 3986's unreserved characters.
std::string PercentEncode(std::string_view text);

// The names and values of a query, decoded, in the order they came; a name without "=" has an empty value. "+" is a
// space here, as forms and most HTTP libraries write it. INVALID_ARGUMENT for what is not encoded right, and for more
// parameters than any request has.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view query);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_URI_H_
