// HTTP as handlers see it, without the library that carries it.
#ifndef MESHGATE_SERVER_HTTP_ROUTER_H_
#define MESHGATE_SERVER_HTTP_ROUTER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace meshgate::server {

class HttpConnection;

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
  // Of the route's pattern, decoded. Set by the router.
  std::vector<std::pair<std::string, std::string>> variables;
  // Where it came by, for handlers that take their time (exchange.h). Null where nothing carries it, as in tests.
  HttpConnection* connection = nullptr;

  // The first header of that name (in lower case), or empty.
  std::string_view header(std::string_view name) const;
  // The variable of that name, or empty.
  const std::string& variable(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Besides Content-Type and what concerns the connection.
  std::vector<std::pair<std::string, std::string>> headers;
  // The body comes from the exchange that the handler has attached, bit by bit.
  bool streamed = false;
};

// Answers a request. Called at most once, from any thread, possibly inside the handler. Dropping it uncalled answers
// 503.
using HttpReply = absl::AnyInvocable<void(HttpResponse)>;

// Handles a request: at once or later, never blocking. The request is valid inside the call only.
using HttpHandler = std::function<void(const HttpRequest&, HttpReply)>;

// Sees each request before its handler. Returns the reply for the handler: as it was, or one that changes the answer on
// its way, on whichever thread that is given; or null, where it has answered itself.
using HttpFilter = std::function<HttpReply(const HttpRequest&, HttpReply)>;

// Whether a path is one of an API's: of the JSON API, or of Consul's own.
inline bool IsApi(std::string_view path) { return path.rfind("/api/", 0) == 0 || path.rfind("/v1/", 0) == 0; }

// Finds the handler of a request. Filled before it is used, then read by many threads.
class Router {
 public:
  // `pattern` is a path whose segments are literal, "{name}" for one segment that is not empty, or at its end
  // "{name=**}" for everything from there on, also nothing: "/v1/kv/{key=**}". What is literal wins over "{name}", and
  // that over "{name=**}". Literal segments match as they are sent, variables get what is sent percent-decoded, once;
  // where that cannot be decoded the request is answered with 400. GET serves HEAD too: the transport leaves out the
  // body.
  void Add(const std::string& method, const std::string& pattern, HttpHandler handler);

  // Filters see requests in the order in which they are added, and so answers the other way round.
  void AddFilter(HttpFilter filter) { filters_.push_back(std::move(filter)); }

  // 404 where no path fits and 405 where no method does, both with a google.rpc.Status as JSON.
  void Handle(HttpRequest request, HttpReply reply) const;

  // Every method and pattern, as added.
  const std::vector<std::pair<std::string, std::string>>& routes() const { return routes_; }

 private:
  struct Route {
    HttpHandler handler;
    // Of the pattern's variables, in order.
    std::vector<std::string> variables;
  };
  using Methods = std::map<std::string, Route>;
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literal;
    std::unique_ptr<Node> variable;
    Methods here;
    // Whatever follows.
    Methods rest;
  };

  // `path` is what follows the node, and `values` are those of the variables that led to it, as sent. Null, and
  // `values` as they were, where nothing fits.
  static const Methods* Find(const Node& node, std::string_view path, std::vector<std::string_view>* values);

  void Dispatch(HttpRequest request, HttpReply reply) const;

  std::vector<HttpFilter> filters_;
  Node root_;
  std::vector<std::pair<std::string, std::string>> routes_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_ROUTER_H_
