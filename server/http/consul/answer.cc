#include "server/http/consul/answer.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/consul/json_text.h"

namespace meshgate::server::consul_api {
namespace {

using absl::StatusCode;

int HttpStatusOf(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return 400;
    case StatusCode::kUnauthenticated:
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kAborted:
      return 409;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kUnimplemented:
      return 501;
    default:
      return 500;
  }
}

HttpResponse NoEntries() {
  HttpResponse response;
  response.status = 404;
  response.content_type.clear();
  return response;
}

void Write(const consul::KvEntry& entry, JsonText* json) {
  json->BeginObject();
  json->Key("LockIndex").Number(entry.lock_index);
  json->Key("Key").String(entry.key);
  json->Key("Flags").Number(entry.flags);
  json->Key("Value");
  if (entry.value.empty()) {
    json->Null();
  } else {
    json->Plain(absl::Base64Escape(entry.value));
  }
  if (!entry.session.empty()) json->Key("Session").String(entry.session);
  json->Key("CreateIndex").Number(entry.create_index);
  json->Key("ModifyIndex").Number(entry.modify_index);
  json->EndObject();
}

}  // namespace

HttpResponse ErrorAnswer(const absl::Status& status) {
  HttpResponse response;
  response.status = HttpStatusOf(status.code());
  // Asking again does not mend it.
  if (ReasonOf(status) == reason::kAnswerTooLarge) response.status = 500;
  response.body = absl::StrCat(status.message(), "\n");
  if (const std::string reason = ReasonOf(status); !reason.empty()) {
    response.headers.emplace_back(kReasonHeader, reason);
  }
  if (const auto delay = RetryAfterOf(status); delay.has_value()) {
    response.headers.emplace_back("Retry-After",
                                  absl::StrCat(absl::ToInt64Seconds(absl::Ceil(*delay, absl::Seconds(1)))));
  }
  return response;
}

absl::Status StatusOfAnswer(int http_status) {
  if (http_status < 400) return absl::OkStatus();
  StatusCode code = StatusCode::kUnavailable;
  switch (http_status) {
    case 401:
    case 403:
      code = StatusCode::kPermissionDenied;
      break;
    case 404:
      code = StatusCode::kNotFound;
      break;
    case 409:
      code = StatusCode::kAborted;
      break;
    case 429:
      code = StatusCode::kResourceExhausted;
      break;
    case 501:
      code = StatusCode::kUnimplemented;
      break;
    default:
      if (http_status < 500) code = StatusCode::kInvalidArgument;
  }
  return absl::Status(code, absl::StrCat("Consul's answer is ", http_status));
}

HttpResponse JsonAnswer(std::string body) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = std::move(body);
  return response;
}

void AddIndex(uint64_t index, HttpResponse* response) {
  response->headers.emplace_back("X-Consul-Index", absl::StrCat(index));
  response->headers.emplace_back("X-Consul-Knownleader", "true");
  response->headers.emplace_back("X-Consul-Lastcontact", "0");
}

void AddMeta(const consul::CachedState& state, HttpResponse* response) {
  response->headers.emplace_back("X-Consul-Index", absl::StrCat(state.index));
  response->headers.emplace_back("X-Consul-Knownleader", state.stale ? "false" : "true");
  const int64_t age = state.stale ? absl::ToInt64Milliseconds(state.age) : 0;
  response->headers.emplace_back("X-Consul-Lastcontact", absl::StrCat(age));
}

HttpResponse EntriesAnswer(const std::vector<consul::KvEntry>& entries, const EntriesFormat& format) {
  if (entries.empty()) return NoEntries();
  if (format.raw) {
    HttpResponse response;
    response.content_type = "text/plain";
    // As Consul has it: what is stored must not run in a browser.
    response.headers.emplace_back("Content-Security-Policy", "sandbox");
    response.body = entries.front().value;
    return response;
  }
  JsonText json(format.pretty);
  json.BeginArray();
  for (const consul::KvEntry& entry : entries) Write(entry, &json);
  json.EndArray();
  return JsonAnswer(json.Take());
}

HttpResponse KeysAnswer(const std::vector<consul::KvEntry>& entries, const std::string& prefix,
                        const std::string& separator, bool pretty) {
  if (entries.empty()) return NoEntries();
  JsonText json(pretty);
  json.BeginArray();
  std::string last;
  for (const consul::KvEntry& entry : entries) {
    const size_t end = separator.empty() ? std::string::npos : entry.key.find(separator, prefix.size());
    std::string name = end == std::string::npos ? entry.key : entry.key.substr(0, end + separator.size());
    // Sorted, so what is cut to the same stands together.
    if (name == last) continue;
    json.String(name);
    last = std::move(name);
  }
  json.EndArray();
  return JsonAnswer(json.Take());
}

HttpResponse QueryAnswerOf(const consul::QueryAnswer& answer) {
  HttpResponse response = JsonAnswer(answer.body);
  response.status = answer.code;
  if (answer.body.empty()) response.content_type.clear();
  return response;
}

}  // namespace meshgate::server::consul_api
