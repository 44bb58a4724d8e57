// Messages as JSON, in the standard mapping of protobuf with the fields' own names.
#ifndef MESHGATE_SERVER_HTTP_API_JSON_H_
#define MESHGATE_SERVER_HTTP_API_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

namespace meshgate::server::api {

// INVALID_ARGUMENT says where the body is wrong, and never what stands there: unknown fields, values out of their
// range, bad base64, more than 100 levels, and what ParseRequest() refuses.
absl::Status FromJson(std::string_view body, google::protobuf::Message* out);

// On one line. Fields that are not set are there with their defaults, but for messages and optional ones. INTERNAL for
// what JSON cannot say.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_JSON_H_
