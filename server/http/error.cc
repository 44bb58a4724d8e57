#include "server/http/error.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "consul/base/errors.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "server/rpc_status.h"

namespace meshgate::server {
namespace {

// A detail of a type that is not linked in cannot be said in JSON, and would take the rest with it.
void DropUnknownDetails(google::rpc::Status* status) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  auto* details = status->mutable_details();
  const auto unknown = [pool](const google::protobuf::Any& any) {
    const std::string& url = any.type_url();
    return pool->FindMessageTypeByName(url.substr(url.rfind('/') + 1)) == nullptr;
  };
  details->erase(std::remove_if(details->begin(), details->end(), unknown), details->end());
}

}  // namespace

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

HttpResponse ErrorResponse(const absl::Status& status, int http_status) {
  HttpResponse response;
  response.status = http_status != 0 ? http_status : HttpStatusOf(status.code());
  response.content_type = "application/json";
  google::rpc::Status rpc = ToRpcStatus(status);
  DropUnknownDetails(&rpc);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  static_cast<void>(google::protobuf::util::MessageToJsonString(rpc, &response.body, options));
  response.body += '\n';
  // RFC 9110, 15.5.2: with each 401. A certificate is nothing that HTTP has a name for.
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"meshgate\"");
  if (auto delay = RetryAfterOf(status)) {
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(*delay, absl::Seconds(1)));
    response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
  }
  return response;
}

}  // namespace meshgate::server
