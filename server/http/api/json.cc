#include "server/http/api/json.h"

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/type_resolver.h"
#include "google/protobuf/util/type_resolver_util.h"
#include "server/service/request_parser.h"

namespace meshgate::server::api {
namespace {

constexpr char kTypeUrl[] = "type.googleapis.com";

google::protobuf::util::TypeResolver* Types() {
  static auto* const types = google::protobuf::util::NewTypeResolverForDescriptorPool(
      kTypeUrl, google::protobuf::DescriptorPool::generated_pool());
  return types;
}

// Values are nobody's business but the caller's, and errors are logged: "(a.b): invalid value "x" for type T" loses its
// middle, a syntax error what it shows of the text around it.
std::string WithoutValues(std::string message) {
  message = message.substr(0, message.find('\n'));
  static constexpr char kInvalid[] = "invalid value ", kFor[] = " for type ";
  const size_t from = message.find(kInvalid);
  if (from == std::string::npos) return message;
  const size_t to = message.rfind(kFor);
  const bool has_type = to != std::string::npos && to > from;
  return absl::StrCat(message.substr(0, from), "not a value", has_type ? message.substr(to) : "");
}

}  // namespace

absl::Status FromJson(std::string_view body, google::protobuf::Message* out) {
  std::string bytes;
  // By way of the wire format, whose parser bounds what a message may cost.
  const auto parsed = google::protobuf::util::JsonToBinaryString(
      Types(), absl::StrCat(kTypeUrl, "/", out->GetDescriptor()->full_name()),
      google::protobuf::StringPiece(body.data(), body.size()), &bytes);
  if (!parsed.ok()) {
    return InvalidField("body", absl::StrCat("is not the JSON of a ", out->GetDescriptor()->name(), ": ",
                                             WithoutValues(std::string(parsed.message()))));
  }
  return ParseRequest(bytes, out);
}

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!printed.ok()) {
    return absl::InternalError(absl::StrCat(message.GetDescriptor()->name(), " cannot be said in JSON"));
  }
  return json;
}

}  // namespace meshgate::server::api
