#include "server/http/host.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/error.h"

namespace meshgate::server {

bool IsOwnHost(std::string_view host) {
  std::string name = absl::AsciiStrToLower(ToAbsl(host));
  if (!name.empty() && name.front() == '[') {
    const size_t end = name.find(']');
    if (end == std::string::npos) return false;
    in6_addr address;
    return inet_pton(AF_INET6, name.substr(1, end - 1).c_str(), &address) == 1;
  }
  name = name.substr(0, name.find(':'));
  in_addr address;
  return name == "localhost" || absl::EndsWith(name, ".localhost") || inet_pton(AF_INET, name.c_str(), &address) == 1;
}

HttpFilter LoopbackHostFilter() {
  return [](const HttpRequest& request, HttpReply reply) -> HttpReply {
    // HTTP/1.0 may leave it out, which no browser does.
    const bool named = std::any_of(request.headers.begin(), request.headers.end(),
                                   [](const auto& header) { return header.first == "host"; });
    if (!IsApi(request.path) || !named || IsOwnHost(request.header("host"))) return reply;
    reply(ErrorResponse(MakeError(absl::StatusCode::kPermissionDenied, kHostNotAllowed,
                                  "the API is served to this host alone and asks for no token, so call it by an "
                                  "address or as localhost: a name could be another's page in a browser")));
    return nullptr;
  };
}

}  // namespace meshgate::server
