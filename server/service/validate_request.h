// Checks of request fields that the API itself defines. What Consul's own rules ask of keys, names and registrations is
// in consul/validate.h; handlers call both before they ask anybody.
#ifndef MESHGATE_SERVER_SERVICE_VALIDATE_REQUEST_H_
#define MESHGATE_SERVER_SERVICE_VALIDATE_REQUEST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/watch/resume_token.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/repeated_field.h"

namespace meshgate::server {

inline constexpr size_t kMaxSubscriberBytes = 256;
inline constexpr size_t kMaxFilterBytes = 4096;
inline constexpr size_t kMaxNearBytes = 255;
inline constexpr size_t kMaxNoteBytes = 4096;
inline constexpr int kMaxTags = 64;
inline constexpr size_t kMaxTagBytes = 255;
inline constexpr absl::Duration kMinProgressInterval = absl::Seconds(1);
// A longer interval is lowered to it, which no reader can tell from a quiet day.
inline constexpr absl::Duration kMaxProgressInterval = absl::Hours(24);

// All return OK, or INVALID_ARGUMENT that names `field`.

// UTF-8 of at most `max_bytes` without control characters; may be empty.
absl::Status ValidateText(std::string_view field, std::string_view text, size_t max_bytes);

// As ValidateText, with line breaks and tabs: what a person may have laid out over several lines.
absl::Status ValidateLines(std::string_view field, std::string_view text, size_t max_bytes);

// The tags that a reader asks for: at most 64, none of them empty.
absl::Status ValidateTags(std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& tags);

// The state that a stream goes on from; nothing for an empty token, which starts with a snapshot.
absl::StatusOr<std::optional<consul::ResumeToken>> ParseResumeToken(std::string_view field, std::string_view token);

// A duration that is well-formed (google/protobuf/duration.proto) and not negative.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view field, const google::protobuf::Duration& duration);

// Zero (never), or at least a second.
absl::StatusOr<absl::Duration> ParseProgressInterval(std::string_view field,
                                                     const google::protobuf::Duration& interval);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_VALIDATE_REQUEST_H_
