// Errors as values: absl::Status with a stable reason that programs can compare and, where it helps, when to try again
// and which fields were wrong. The reason and the rest travel as google.rpc details (proto/google/rpc/status.proto), so
// that a transport forwards them without knowing them.
#ifndef MESHGATE_CONSUL_BASE_ERRORS_H_
#define MESHGATE_CONSUL_BASE_ERRORS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace meshgate {

// google.rpc.ErrorInfo.domain of every error of ours.
inline constexpr std::string_view kErrorDomain = "meshgate";

// google.rpc.ErrorInfo.reason. Part of the public API: add, never rename.
namespace reason {
inline constexpr std::string_view kInvalidRequest = "INVALID_REQUEST";             // INVALID_ARGUMENT
inline constexpr std::string_view kInvalidKey = "INVALID_KEY";                     // INVALID_ARGUMENT
inline constexpr std::string_view kInvalidFilter = "INVALID_FILTER";               // INVALID_ARGUMENT
inline constexpr std::string_view kInvalidPageToken = "INVALID_PAGE_TOKEN";        // INVALID_ARGUMENT
inline constexpr std::string_view kValueTooLarge = "VALUE_TOO_LARGE";              // INVALID_ARGUMENT
inline constexpr std::string_view kKeyNotFound = "KEY_NOT_FOUND";                  // NOT_FOUND
inline constexpr std::string_view kInstanceNotFound = "INSTANCE_NOT_FOUND";        // NOT_FOUND
inline constexpr std::string_view kDatacenterNotFound = "DATACENTER_NOT_FOUND";    // NOT_FOUND
inline constexpr std::string_view kNoTtlCheck = "NO_TTL_CHECK";                    // FAILED_PRECONDITION
inline constexpr std::string_view kCasMismatch = "CAS_MISMATCH";                   // ABORTED
inline constexpr std::string_view kTakenOver = "TAKEN_OVER";                       // ABORTED
inline constexpr std::string_view kDeregistered = "DEREGISTERED";                  // ABORTED
inline constexpr std::string_view kTokenUnknown = "TOKEN_UNKNOWN";                 // UNAUTHENTICATED
inline constexpr std::string_view kPermissionDenied = "PERMISSION_DENIED";         // PERMISSION_DENIED
inline constexpr std::string_view kPermissionUnknown = "PERMISSION_UNKNOWN";       // UNAVAILABLE
inline constexpr std::string_view kConsulOverloaded = "CONSUL_OVERLOADED";         // RESOURCE_EXHAUSTED
inline constexpr std::string_view kAnswerTooLarge = "ANSWER_TOO_LARGE";            // RESOURCE_EXHAUSTED
inline constexpr std::string_view kConsulUnavailable = "CONSUL_UNAVAILABLE";       // UNAVAILABLE
inline constexpr std::string_view kWriteOutcomeUnknown = "WRITE_OUTCOME_UNKNOWN";  // with any code of a failure
inline constexpr std::string_view kHidden = "HIDDEN";                              // PERMISSION_DENIED
inline constexpr std::string_view kTooStale = "TOO_STALE";                         // UNAVAILABLE
inline constexpr std::string_view kDraining = "DRAINING";                          // UNAVAILABLE
inline constexpr std::string_view kSlowReader = "SLOW_READER";                     // UNAVAILABLE
inline constexpr std::string_view kDeadline = "DEADLINE_EXCEEDED";                 // DEADLINE_EXCEEDED
inline constexpr std::string_view kCancelled = "CANCELLED";                        // CANCELLED
inline constexpr std::string_view kNotConsul = "UNEXPECTED_ANSWER";                // INTERNAL
inline constexpr std::string_view kStorage = "STORAGE_FAILED";  // UNAVAILABLE, DATA_LOSS, FAILED_PRECONDITION
}  // namespace reason

// A failed status with an ErrorInfo. `code` is not kOk. `message` says what is wrong and what to do next; it never
// holds a value or a token.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message);

// INVALID_ARGUMENT with a BadRequest that names `field` (its path in the request, e.g. "instance.port"). The message
// reads "<field>: <description>".
absl::Status InvalidField(std::string_view field, std::string_view description,
                          std::string_view reason = reason::kInvalidRequest);

// An error of InvalidField() about a message that is the field `parent` of another one: "instance.port" becomes
// "registration.instance.port". Other errors, and OK, as they are.
absl::Status InParentField(std::string_view parent, absl::Status status);

// Adds a RetryInfo.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);

// Empty where the status carries no ErrorInfo.
std::string ReasonOf(const absl::Status& status);

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_ERRORS_H_
