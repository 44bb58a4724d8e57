// Failed calls as absl::Status, with the details that meshgate attaches kept as payloads under their type URLs
// (google.rpc.ErrorInfo, RetryInfo, BadRequest).
#ifndef MESHGATE_CLIENT_ERRORS_H_
#define MESHGATE_CLIENT_ERRORS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

namespace meshgate::client {

// Same code and message; details that do not parse are left out.
absl::Status FromGrpc(const grpc::Status& status);

// The stable name of the cause, e.g. "CAS_MISMATCH". Empty where the failure did not come from meshgate itself: a
// gateway that can't be reached, a proxy in between, a deadline that passed here.
std::string ReasonOf(const absl::Status& status);

// How long the gateway asks to wait before the next try.
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

// Whether the same watch may succeed later, on this gateway or another: true for everything but an answer that says
// the request itself is wrong or not allowed.
bool IsTransient(const absl::Status& status);

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_ERRORS_H_
