#ifndef MESHGATE_SERVER_HTTP_HTTP_SERVER_H_
#define MESHGATE_SERVER_HTTP_HTTP_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "metrics/connection_reporter.h"
#include "server/http/router.h"
#include "server/tls/endpoint.h"

namespace meshgate::server {

struct HttpServerOptions {
  // HOST:PORT; port 0 is any free one.
  std::string listen;
  int threads = 2;
  // Of the request line with all headers: 431 beyond.
  uint32_t max_header_bytes = 16 << 10;
  // 413 beyond.
  uint64_t max_body_bytes = 1 << 20;
  // From the end of a response, or the start of a connection, to a whole request. Bounds idle keep-alive connections
  // and peers that send a byte at a time alike.
  absl::Duration read_timeout = absl::Seconds(30);
  // For a response to be taken by the peer.
  absl::Duration write_timeout = absl::Seconds(30);
  // The same for each piece of one that is streamed.
  absl::Duration stream_write_timeout = absl::Minutes(2);
  // More are closed at once.
  int max_connections = 1024;
  // Null: nobody is told. Outlives the server.
  metrics::ConnectionReporter* reporter = nullptr;
  // Of bodies that are being received and served, on all connections: 429 beyond.
  uint64_t max_held_bytes = uint64_t{256} << 20;
  // What TLS is spoken with; null: plain text.
  std::shared_ptr<tls::Endpoint> tls;
};

// HTTP/1.1 with keep-alive on a few threads of its own, which handlers must not block. A connection belongs to one of
// them, which calls its handlers. Requests of a connection are handled one after the other.
class HttpServer {
 public:
  // Listens and serves. `router` outlives the server. UNAVAILABLE when the address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, const Router* router);

  // Same as Stop(). Every handler has answered, or dropped its reply, before: replies hold on to the connection.
  ~HttpServer();

  // Where it listens, with the port that was chosen for port 0.
  const std::string& address() const;

  // From here on each answer is the last one of its connection. Any thread.
  void BeginDrain();

  // Closes the port and idle connections, gives responses on their way a second, then cuts what is left. Idempotent.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_SERVER_H_
