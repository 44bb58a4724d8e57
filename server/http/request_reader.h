// Requests of an HTTP connection, as they are read.
#ifndef MESHGATE_SERVER_HTTP_REQUEST_READER_H_
#define MESHGATE_SERVER_HTTP_REQUEST_READER_H_

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "server/http/http_head.h"
#include "server/http/http_session.h"
#include "server/http/http_socket.h"
#include "server/http/router.h"

namespace meshgate::server {

// A connection that reads one request at a time, each within the server's limits. On the socket's thread.
class RequestReader : public HttpSocket {
 protected:
  // `host` lives until it is told to forget the session, before which ReturnBody() has to come.
  RequestReader(HttpSessionHost* host, boost::asio::ip::tcp::socket socket);

  // Reads the next one, and calls one of these three; where the connection is stopping it closes it.
  void Read();
  // Its body counts as held until ReturnBody().
  virtual void OnRequest(HttpRequest request) = 0;
  // It is none that can be handled, and not read to its end: what is to be answered.
  virtual void OnBadRequest(HttpResponse refusal) = 0;
  // None comes: the peer has gone or was too slow, or the connection was closed.
  virtual void OnNoRequest() = 0;

  void ReturnBody() { host_->ReturnBody(std::exchange(held_, 0)); }

  HttpSessionHost* host() const { return host_; }
  // Of the request that was read last.
  bool keep_alive() const { return keep_alive_; }
  bool is_head() const { return is_head_; }
  bool is_http_1_0() const { return is_http_1_0_; }

  // What was read of the request that follows.
  boost::beast::flat_buffer& unread() { return buffer_; }

 private:
  std::shared_ptr<RequestReader> Self() { return std::static_pointer_cast<RequestReader>(shared_from_this()); }

  // As http::async_read_header(), but that it looks at the bytes first: the parser lets folded lines pass.
  void ReadHead();
  void OnHead();
  void ReadBody();
  void OnWhole();
  void OnFailure(const boost::system::error_code& error);
  void Refuse(HttpResponse refusal);
  // Whether a body of so many bytes may be held; what is held of it already counts.
  bool HoldBody(uint64_t bytes);

  HttpSessionHost* const host_;
  boost::beast::flat_buffer buffer_;
  std::optional<RequestParser> parser_;
  // Of the one that is being read: its head, and how many bytes that has so far.
  HttpRequest request_;
  size_t head_bytes_ = 0;
  uint64_t held_ = 0;
  bool keep_alive_ = false;
  bool is_head_ = false;
  bool is_http_1_0_ = false;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_REQUEST_READER_H_
