// From text in paths and queries to fields of messages.
#ifndef MESHGATE_SERVER_HTTP_API_FIELDS_H_
#define MESHGATE_SERVER_HTTP_API_FIELDS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace meshgate::server::api {

// The field at a path such as "options.max_age". The path has to exist.
const google::protobuf::FieldDescriptor* FieldAt(const google::protobuf::Descriptor* type, std::string_view path);

// Whether it may be given more than once.
bool IsList(const google::protobuf::Descriptor* type, std::string_view path);

// The name of an enum's value as queries write it: HEALTH_STATUS_PASSING of HealthStatus is "passing".
std::string ShortName(const google::protobuf::EnumValueDescriptor& value);

// Sets the field at `path` from the text of the parameter `name`: strings as they are, numbers in decimal, booleans as
// "true" and "false" where nothing is true, enums by their short names or in full, durations with their units, such as
// "1m30s". A list gets one more element. INVALID_ARGUMENT names the parameter; also where the field has another value
// already, from a body or from a path.
absl::Status SetField(std::string_view name, std::string_view path, const std::string& text,
                      google::protobuf::Message* message);

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_FIELDS_H_
