#include "server/http/cors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace meshgate::server {
namespace {

constexpr char kMethods[] = "GET, HEAD, PUT, POST, DELETE";
constexpr char kRequestHeaders[] =
    "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Consul-Token, X-Request-Id";
// Beyond those that a page may read anyway.
constexpr char kResponseHeaders[] =
    "ETag, Retry-After, X-Meshgate-Age, X-Meshgate-Index, X-Meshgate-Source, X-Request-Id";
// Seconds that a browser may remember a preflight's answer.
constexpr char kMaxAge[] = "600";

bool IsOpen(const std::string& path) { return absl::StartsWith(path, "/api/") || path == "/openapi.json"; }

}  // namespace

HttpFilter CorsFilter(std::vector<std::string> origins) {
  return [origins = std::move(origins)](const HttpRequest& request, HttpReply reply) -> HttpReply {
    if (!IsOpen(request.path)) return reply;
    const std::string origin(request.header("origin"));
    const bool allowed = std::find(origins.begin(), origins.end(), origin) != origins.end();
    const bool preflight = request.method == "OPTIONS" && !request.header("access-control-request-method").empty();
    if (allowed && preflight) {
      HttpResponse response;
      response.status = 204;
      response.content_type.clear();
      response.headers = {{"Access-Control-Allow-Origin", origin},
                          {"Access-Control-Allow-Methods", kMethods},
                          {"Access-Control-Allow-Headers", kRequestHeaders},
                          {"Access-Control-Max-Age", kMaxAge},
                          {"Vary", "Origin"}};
      reply(std::move(response));
      return nullptr;
    }
    return [origin = allowed ? origin : "", reply = std::move(reply)](HttpResponse response) mutable {
      // Also where it is not allowed: a cache must not give one page's answer to another.
      response.headers.emplace_back("Vary", "Origin");
      if (!origin.empty()) {
        response.headers.emplace_back("Access-Control-Allow-Origin", origin);
        response.headers.emplace_back("Access-Control-Expose-Headers", kResponseHeaders);
      }
      reply(std::move(response));
    };
  };
}

}  // namespace meshgate::server
