#include "tests/fault/consul_client.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "consul/http/parse.h"

namespace meshgate::fault {
namespace {

size_t Append(char* data, size_t size, size_t count, void* out) {
  static_cast<std::string*>(out)->append(data, size * count);
  return size * count;
}

std::string HealthName(consul::Health health) {
  switch (health) {
    case consul::Health::kPassing:
      return "passing";
    case consul::Health::kWarning:
      return "warning";
    case consul::Health::kCritical:
      return "critical";
    case consul::Health::kMaintenance:
      return "maintenance";
  }
  return "";
}

}  // namespace

ConsulClient::ConsulClient(std::string url, absl::Duration timeout)
    : url_(std::move(url)), timeout_(timeout), easy_(curl_easy_init(), &curl_easy_cleanup) {}

ConsulClient::Answer ConsulClient::Call(const std::string& method, const std::string& target, const std::string& body) {
  Answer answer;
  CURL* easy = easy_.get();
  // Keeps the connection.
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_URL, absl::StrCat(url_, target).c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout_)));
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/octet-stream");
  if (method != "GET") {
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer.body);
  const CURLcode result = curl_easy_perform(easy);
  answer.sent = result != CURLE_COULDNT_CONNECT;
  if (result == CURLE_OK) {
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    answer.code = static_cast<int>(code);
  }
  curl_slist_free_all(headers);
  return answer;
}

std::optional<Holding> ConsulClient::ReadPrefix(const std::string& prefix) {
  Answer answer = Call("GET", absl::StrCat("/v1/kv/", prefix, "?recurse&consistent"));
  if (answer.code == 404) return Holding{};
  if (!answer.ok()) return std::nullopt;
  auto entries = consul::http::ParseEntries(std::move(answer.body));
  if (!entries.ok()) return std::nullopt;
  Holding holding;
  for (const auto& entry : *entries) {
    holding[entry.key] = {FromValue(entry.key, entry.value), "", entry.create_index, entry.modify_index};
  }
  return holding;
}

std::optional<Holding> ConsulClient::ReadService(const std::string& service) {
  Answer answer = Call("GET", absl::StrCat("/v1/health/service/", service, "?consistent"));
  if (!answer.ok()) return std::nullopt;
  auto instances = consul::http::ParseInstances(std::move(answer.body));
  if (!instances.ok()) return std::nullopt;
  Holding holding;
  for (const auto& instance : *instances) {
    const auto version = instance.meta.find(kVersionMeta);
    holding[instance.id] = {version == instance.meta.end() ? std::nullopt : ParseInstanceVersion(version->second),
                            HealthName(instance.health), 0, instance.modify_index};
  }
  return holding;
}

std::optional<Holding> ConsulClient::Read(const Target& target) {
  if (target.kind == Kind::kService) return ReadService(target.name);
  auto holding = ReadPrefix(target.name);
  if (holding.has_value() && target.kind == Kind::kKey) {
    for (auto it = holding->begin(); it != holding->end();) it = it->first == target.name ? ++it : holding->erase(it);
  }
  return holding;
}

std::string InstanceVersion(const Numbered& numbered) { return absl::StrCat(numbered.version, ".", numbered.writer); }

std::optional<Numbered> ParseInstanceVersion(const std::string& version) {
  const std::vector<absl::string_view> parts = absl::StrSplit(version, '.');
  Numbered numbered;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &numbered.version) ||
      !absl::SimpleAtoi(parts[1], &numbered.writer)) {
    return std::nullopt;
  }
  return numbered;
}

}  // namespace meshgate::fault
