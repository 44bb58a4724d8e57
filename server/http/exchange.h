// Requests that are answered over time: streams, and polls that wait.
#ifndef MESHGATE_SERVER_HTTP_EXCHANGE_H_
#define MESHGATE_SERVER_HTTP_EXCHANGE_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "consul/watch/reader_thread.h"

namespace meshgate::server {

// What serves one request for longer than a call of its handler, and gives the body of a response that is streamed. It
// lives on the thread of its connection, on which all of this is called; it may outlive the connection, of which
// OnClosed() is the last word.
class HttpExchange {
 public:
  struct Piece {
    // Null: nothing now, HttpConnection::Ready() says when.
    std::shared_ptr<const std::string> bytes;
    // Nothing follows.
    bool last = false;
    // What follows cannot be had: the connection ends in the middle of the body, which must not look whole. Without
    // bytes.
    bool cut = false;
  };

  virtual ~HttpExchange() = default;

  // The peer has room: the next piece of the body. Asked for once the head of a streamed response has been sent, while
  // nothing is in flight, and no more after the last piece.
  virtual Piece Next() = 0;

  // The time of HttpConnection::WakeAfter() has come.
  virtual void OnTimer() = 0;

  // The exchange is over, once: all has been sent, the peer has gone, or it has taken nothing for longer than a reader
  // may. The connection must not be used any more.
  enum class Why { kDone, kGone, kStalled };
  virtual void OnClosed(Why why) = 0;
};

// The connection of a request, for its handler and its exchange alone, on its thread.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;

  // Outlives the connection, and every reader on it.
  virtual consul::ReaderThread* thread() = 0;

  // Inside the handler, at most once: from here on the exchange is told when the peer goes. The reply still answers the
  // request. False, and nothing done, where too many connections wait
  // already: some are kept for those that don't.
  virtual bool Attach(std::shared_ptr<HttpExchange> exchange) = 0;

  // Next() may have something.
  virtual void Ready() = 0;

  // Has OnTimer() called once after so long, and not for an earlier call of this.
  virtual void WakeAfter(absl::Duration delay) = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_EXCHANGE_H_
