#include "server/http/api/unary.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "consul/base/strings.h"

namespace meshgate::server::api {

std::string MediaType(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(ToAbsl(type)));
}

absl::Status ReadJsonBody(const Route& route, const HttpRequest& http, google::protobuf::Message* request,
                          int* http_status) {
  if (route.body == Route::Body::kNone) {
    return http.body.empty() ? absl::OkStatus() : InvalidField("body", "this request has none: send it without");
  }
  if (http.body.empty()) {
    if (route.body == Route::Body::kOptionalJson) return absl::OkStatus();
    return InvalidField("body", absl::StrCat("required: the JSON of a ", request->GetDescriptor()->name()));
  }
  // A page of another origin cannot send this type without asking first (CORS), unlike those of forms.
  if (MediaType(http.header("content-type")) != "application/json") {
    *http_status = 415;
    return InvalidField("body", "send JSON, and say so: Content-Type: application/json");
  }
  return FromJson(http.body, request);
}

HttpResponse JsonResponse(const google::protobuf::Message& message) {
  absl::StatusOr<std::string> json = ToJson(message);
  if (!json.ok()) return ErrorResponse(json.status());
  HttpResponse response;
  response.content_type = "application/json";
  response.body = *std::move(json);
  response.body += '\n';
  response.headers.emplace_back("Cache-Control", "private, no-cache");
  return response;
}

}  // namespace meshgate::server::api
