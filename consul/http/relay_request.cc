#include "consul/http/relay_request.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::consul::http {
namespace {

bool IsOneOf(absl::string_view name, std::initializer_list<absl::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [name](absl::string_view other) { return absl::EqualsIgnoreCase(name, other); });
}

bool ConcernsConnection(absl::string_view name) {
  return IsOneOf(name, {"Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade"}) ||
         absl::StartsWithIgnoreCase(name, "Proxy-");
}

bool IsOurs(absl::string_view name) {
  return IsOneOf(name, {"Host", "Content-Length", "Expect", "Accept-Encoding", "X-Consul-Token", "Authorization"});
}

// RFC 9110, 5.6.2.
bool IsToken(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

bool HoldsLineEnd(absl::string_view text) {
  return text.find_first_of(absl::string_view("\r\n\0", 3)) != absl::string_view::npos;
}

// What a request line can hold without ending there.
bool IsTarget(absl::string_view target) {
  return absl::StartsWith(target, "/v1/") && std::all_of(target.begin(), target.end(), [](char c) {
           return static_cast<unsigned char>(c) > ' ' && c != '\x7f';
         });
}

bool IsSentToken(absl::string_view token) {
  return std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
}

bool MethodOf(absl::string_view name, Method& method) {
  constexpr std::pair<absl::string_view, Method> kMethods[] = {
      {"GET", Method::kGet}, {"PUT", Method::kPut}, {"POST", Method::kPost}, {"DELETE", Method::kDelete}};
  for (const auto& [known, value] : kMethods) {
    if (name != known) continue;
    method = value;
    return true;
  }
  return false;
}

// An agent answers for itself, and a server that is asked for stale data from what it has.
bool NeedsLeader(absl::string_view target) {
  if (absl::StartsWith(target, "/v1/agent/") || absl::StartsWith(target, "/v1/status/")) return false;
  const size_t query = target.find('?');
  if (query == absl::string_view::npos) return true;
  for (const absl::string_view parameter : absl::StrSplit(target.substr(query + 1), '&')) {
    if (parameter == "stale" || absl::StartsWith(parameter, "stale=")) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Request> ToRequest(RelayRequest relayed) {
  Request request;
  if (!MethodOf(relayed.method, request.method)) {
    return InvalidField("method", "must be GET, PUT, POST or DELETE");
  }
  if (!IsTarget(relayed.target)) {
    return InvalidField("target", "must begin with /v1/ and hold neither spaces nor control characters");
  }
  if (relayed.token.has_value() && !IsSentToken(*relayed.token)) {
    return InvalidField("token", "holds a character that no token has");
  }
  for (const auto& [name, value] : relayed.headers) {
    if (!IsToken(name) || HoldsLineEnd(value)) {
      return InvalidField("headers", "a header's name or value holds a character that is not allowed in it");
    }
  }
  request.headers = PassedOn(std::move(relayed.headers));
  request.headers.erase(std::remove_if(request.headers.begin(), request.headers.end(),
                                       [](const auto& header) { return IsOurs(header.first); }),
                        request.headers.end());
  for (auto& [name, value] : request.headers) value = std::string(absl::StripAsciiWhitespace(value));
  request.needs_leader = NeedsLeader(relayed.target);
  request.target = std::move(relayed.target);
  request.body = std::move(relayed.body);
  request.token = std::move(relayed.token);
  request.timeout = relayed.timeout;
  request.pool = Pool::kStreamed;
  return request;
}

HeaderList PassedOn(HeaderList headers) {
  std::vector<std::string> named;
  for (const auto& [name, value] : headers) {
    if (!absl::EqualsIgnoreCase(name, "Connection")) continue;
    for (const absl::string_view token : absl::StrSplit(value, ',')) {
      named.emplace_back(absl::StripAsciiWhitespace(token));
    }
  }
  headers.erase(std::remove_if(headers.begin(), headers.end(),
                               [&named](const auto& header) {
                                 return ConcernsConnection(header.first) ||
                                        std::any_of(named.begin(), named.end(), [&header](const std::string& name) {
                                          return absl::EqualsIgnoreCase(header.first, name);
                                        });
                               }),
                headers.end());
  return headers;
}

Endpoint EndpointOf(std::string_view target) {
  // The first that fits.
  constexpr std::pair<absl::string_view, Endpoint> kFamilies[] = {{"/v1/kv", Endpoint::kKv},
                                                                  {"/v1/txn", Endpoint::kTxn},
                                                                  {"/v1/health/service/", Endpoint::kHealthService},
                                                                  {"/v1/health/", Endpoint::kHealth},
                                                                  {"/v1/catalog/", Endpoint::kCatalog},
                                                                  {"/v1/agent/service", Endpoint::kAgentService},
                                                                  {"/v1/agent/check", Endpoint::kAgentCheck},
                                                                  {"/v1/agent/", Endpoint::kAgent},
                                                                  {"/v1/session/", Endpoint::kSession},
                                                                  {"/v1/status/", Endpoint::kStatus},
                                                                  {"/v1/internal/acl/authorize", Endpoint::kAuthorize},
                                                                  {"/v1/acl/", Endpoint::kAcl}};
  for (const auto& [prefix, endpoint] : kFamilies) {
    if (absl::StartsWith(ToAbsl(target), prefix)) return endpoint;
  }
  return Endpoint::kOther;
}

}  // namespace meshgate::consul::http
