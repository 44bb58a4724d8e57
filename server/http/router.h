// HTTP as handlers see it, without the library that carries it.
#ifndef MESHGATE_SERVER_HTTP_ROUTER_H_
#define MESHGATE_SERVER_HTTP_ROUTER_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace meshgate::server {

struct HttpRequest {
  std::string method;
  // As sent, still percent-encoded, up to the "?".
  std::string path;
  // What follows the "?".
  std::string query;
  // In the order they came; names in lower case.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // "ipv4:127.0.0.1:41234" or "ipv6:[::1]:41234", as gRPC writes it.
  std::string peer;
  // Who the client's certificate says that it is, where it has shown one that was verified (server/tls/identity.h).
  std::string tls_identity;

  // The first header of that name (in lower case), or empty.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Besides Content-Type and what concerns the connection.
  std::vector<std::pair<std::string, std::string>> headers;
};

// Answers a request. Called at most once, from any thread, possibly inside the handler. Dropping it uncalled answers
// 503.
using HttpReply = absl::AnyInvocable<void(HttpResponse)>;

// Handles a request: at once or later, never blocking. The request is valid inside the call only.
using HttpHandler = std::function<void(const HttpRequest&, HttpReply)>;

// Finds the handler of a request. Filled before it is used, then read by many threads.
class Router {
 public:
  // `path` is literal, or ends in "/*" for everything below it; a literal one wins, then the longest. GET serves HEAD
  // too: the transport leaves out the body.
  void Add(const std::string& method, const std::string& path, HttpHandler handler);

  // 404 where no path fits and 405 where no method does, both with a google.rpc.Status as JSON.
  void Handle(const HttpRequest& request, HttpReply reply) const;

 private:
  using Methods = std::map<std::string, HttpHandler>;

  const Methods* Find(const std::string& path) const;

  std::map<std::string, Methods> literal_;
  // By the path with its final slash and without the star.
  std::map<std::string, Methods> below_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_ROUTER_H_
