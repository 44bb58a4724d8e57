#ifndef MESHGATE_SERVER_HTTP_ERROR_H_
#define MESHGATE_SERVER_HTTP_ERROR_H_

#include <string_view>

#include "absl/status/status.h"
#include "server/http/router.h"

namespace meshgate::server {

// google.rpc.ErrorInfo.reason of what only HTTP knows. Part of the public API: add, never rename.
inline constexpr std::string_view kNoSuchPath = "NO_SUCH_PATH";              // 404
inline constexpr std::string_view kHostNotAllowed = "HOST_NOT_ALLOWED";      // 403
inline constexpr std::string_view kMethodNotAllowed = "METHOD_NOT_ALLOWED";  // 405
inline constexpr std::string_view kMalformedHttp = "MALFORMED_HTTP";         // 400, 413, 431, 501
inline constexpr std::string_view kTooMuchAtOnce = "TOO_MUCH_AT_ONCE";       // 429

// The HTTP status that stands for a code, e.g. 404 for NOT_FOUND.
int HttpStatusOf(absl::StatusCode code);

// The one mapping of our errors to HTTP: the body is the google.rpc.Status as JSON, and a RetryInfo is also said as
// Retry-After. `http_status` replaces the status that the code stands for.
HttpResponse ErrorResponse(const absl::Status& status, int http_status = 0);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_ERROR_H_
