#include "server/service/validate_request.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/base/utf8.h"
#include "consul/watch/resume_token.h"

namespace meshgate::server {
namespace {

// The bounds of google.protobuf.Duration: about 10,000 years.
constexpr int64_t kMaxDurationSeconds = 315576000000;
constexpr int32_t kNanosPerSecond = 1000000000;

absl::Status ValidateUtf8(std::string_view field, std::string_view text, size_t max_bytes,
                          std::string_view allowed_controls) {
  if (text.size() > max_bytes) {
    return InvalidField(field, absl::StrCat("must have at most ", max_bytes, " bytes, has ", text.size()));
  }
  while (!text.empty()) {
    const std::optional<char32_t> code = TakeCodePoint(text);
    if (!code) return InvalidField(field, "must be valid UTF-8");
    if (IsControl(*code) && allowed_controls.find(static_cast<char>(*code)) == std::string_view::npos) {
      return InvalidField(field, "must not contain control characters");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateText(std::string_view field, std::string_view text, size_t max_bytes) {
  return ValidateUtf8(field, text, max_bytes, "");
}

absl::Status ValidateLines(std::string_view field, std::string_view text, size_t max_bytes) {
  return ValidateUtf8(field, text, max_bytes, "\t\r\n");
}

absl::Status ValidateTags(std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& tags) {
  if (tags.size() > kMaxTags) {
    return InvalidField(field, absl::StrCat("must have at most ", kMaxTags, " elements, has ", tags.size()));
  }
  for (int i = 0; i < tags.size(); ++i) {
    const std::string element = absl::StrCat(ToAbsl(field), "[", i, "]");
    if (tags[i].empty()) return InvalidField(element, "must not be empty");
    if (absl::Status s = ValidateText(element, tags[i], kMaxTagBytes); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<consul::ResumeToken>> ParseResumeToken(std::string_view field, std::string_view token) {
  if (token.empty()) return std::nullopt;
  std::optional<consul::ResumeToken> parsed = consul::ResumeToken::Parse(token);
  if (!parsed) {
    return InvalidField(field, "must be a token as it was received, or empty to start with a snapshot");
  }
  return parsed;
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view field, const google::protobuf::Duration& duration) {
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  if (seconds > kMaxDurationSeconds || seconds < -kMaxDurationSeconds || nanos >= kNanosPerSecond ||
      nanos <= -kNanosPerSecond || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
    return InvalidField(
        field,
        "must be a valid duration: seconds are within 315,576,000,000 of zero, nanos within 999,999,999 "
        "and of the same sign");
  }
  if (seconds < 0 || nanos < 0) return InvalidField(field, "must not be negative");
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

absl::StatusOr<absl::Duration> ParseProgressInterval(std::string_view field,
                                                     const google::protobuf::Duration& interval) {
  absl::StatusOr<absl::Duration> parsed = ParseDuration(field, interval);
  if (!parsed.ok() || *parsed == absl::ZeroDuration()) return parsed;
  if (*parsed < kMinProgressInterval) return InvalidField(field, "must be 0 (never) or at least 1s");
  return std::min(*parsed, kMaxProgressInterval);
}

}  // namespace meshgate::server
