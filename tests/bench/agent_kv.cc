#include "tests/bench/agent_kv.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace meshgate::bench {
namespace {

// Consul's own limit.
constexpr size_t kMaxOperations = 64;

size_t Discard(char*, size_t size, size_t count, void*) { return size * count; }

}  // namespace

AgentKv::AgentKv(std::string url) : url_(std::move(url)), easy_(curl_easy_init(), &curl_easy_cleanup) {}

bool AgentKv::Put(const std::string& key, const std::string& value) {
  return Send(absl::StrCat("/v1/kv/", key), value);
}

bool AgentKv::PutAll(const std::vector<std::string>& keys, const std::string& value) {
  const std::string encoded = absl::Base64Escape(value);
  for (size_t begin = 0; begin < keys.size(); begin += kMaxOperations) {
    std::string body = "[";
    for (size_t i = begin; i < keys.size() && i < begin + kMaxOperations; ++i) {
      absl::StrAppend(&body, i > begin ? "," : "", R"({"KV":{"Verb":"set","Key":")", keys[i], R"(","Value":")", encoded,
                      R"("}})");
    }
    body += "]";
    if (!Send("/v1/txn", body)) return false;
  }
  return true;
}

bool AgentKv::Send(const std::string& path, const std::string& body) {
  curl_easy_setopt(easy_.get(), CURLOPT_URL, absl::StrCat(url_, path).c_str());
  curl_easy_setopt(easy_.get(), CURLOPT_INTERFACE, "host!127.0.0.2");
  curl_easy_setopt(easy_.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy_.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_.get(), CURLOPT_TIMEOUT, 60L);
  curl_easy_setopt(easy_.get(), CURLOPT_CUSTOMREQUEST, "PUT");
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(easy_.get(), CURLOPT_WRITEFUNCTION, &Discard);
  if (curl_easy_perform(easy_.get()) != CURLE_OK) return false;
  long code = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &code);
  return code == 200;
}

}  // namespace meshgate::bench
