// One connection of the HTTP server.
#ifndef MESHGATE_SERVER_HTTP_HTTP_SESSION_H_
#define MESHGATE_SERVER_HTTP_HTTP_SESSION_H_

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "server/http/http_loop.h"
#include "server/http/http_server.h"
#include "server/http/router.h"

namespace meshgate::server {

class HttpSession;

// What a connection needs of its server, which outlives it.
class HttpSessionHost {
 public:
  virtual ~HttpSessionHost() = default;
  virtual const HttpServerOptions& options() const = 0;
  virtual const Router& router() const = 0;
  // Whether that many bytes of a request's body may be taken in now; ReturnBody() gives them back. Any thread.
  virtual bool HoldBody(uint64_t bytes) = 0;
  virtual void ReturnBody(uint64_t bytes) = 0;
  // The same of an answer, which has a budget of its own: requests that do not end must not keep others from being
  // answered. With `anyway` it counts, and is not refused.
  virtual bool HoldAnswer(uint64_t bytes, bool anyway) = 0;
  virtual void ReturnAnswer(uint64_t bytes) = 0;
  // Whether one more connection may wait for its exchange: some are kept for others. EndWait() ends it. Any thread.
  virtual bool BeginWait() = 0;
  virtual void EndWait() = 0;
  // Each answer is the last one of its connection. Any thread.
  virtual bool draining() const = 0;
  // It is being destroyed. Any thread.
  virtual void Forget(HttpSession* session) = 0;
};

// Requests of a connection are handled one after the other, on its loop's thread. Lives as long as something of it is
// on its way.
class HttpSession {
 public:
  static std::shared_ptr<HttpSession> Make(HttpSessionHost* host, HttpLoop* loop, boost::asio::ip::tcp::socket socket);
  virtual ~HttpSession() = default;

  // ---- Any thread.
  virtual void Start() = 0;
  // Ends the connection after the response on its way, if there is one. One that waits for its exchange is cut.
  virtual void Stop() = 0;

  // When the loop runs no more.
  virtual void Cut() = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_SESSION_H_
