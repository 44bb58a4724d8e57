#ifndef MESHGATE_SERVER_HTTP_HTTP_STREAM_H_
#define MESHGATE_SERVER_HTTP_HTTP_STREAM_H_

#include <openssl/ssl.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <optional>
#include <utility>

#include "server/tls/failure.h"

namespace meshgate::server {

// A connection in plain text or TLS, as Boost.Beast reads and writes it. Timeouts are those of tcp().
class HttpStream {
 public:
  using Tcp = boost::beast::tcp_stream;
  using executor_type = Tcp::executor_type;

  // Null: plain text.
  HttpStream(boost::asio::ip::tcp::socket socket, SSL_CTX* context) : tcp_(std::move(socket)) {
    if (context == nullptr) return;
    SSL_CTX_up_ref(context);
    boost::asio::ssl::context owner(context);
    tls_.emplace(tcp_, owner);
    // Asio takes "read more" for "more has to come".
    SSL_set_mode(tls_->native_handle(), SSL_MODE_AUTO_RETRY);
  }

  Tcp& tcp() { return tcp_; }
  // Null: plain text.
  SSL* ssl() { return tls_.has_value() ? tls_->native_handle() : nullptr; }
  executor_type get_executor() { return tcp_.get_executor(); }

  template <typename Handler>
  void AsyncHandshake(Handler handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::move(handler));
  }
  // Why a handshake that ended with `error` has come to nothing, if it has.
  std::optional<tls::Failure> FailureOf(const boost::system::error_code& error) {
    using Reason = metrics::HandshakeFailure;
    if (!error) return std::nullopt;
    if (error == boost::beast::error::timeout) return tls::Failure{Reason::kTimeout, ""};
    const bool by_ssl = error.category() == boost::asio::error::get_ssl_category();
    if (!by_ssl) return tls::Failure{Reason::kClosed, error.message()};
    return tls::FailureOf(static_cast<unsigned int>(error.value()), SSL_get_verify_result(ssl()));
  }
  // Says that nothing follows, and waits for the peer to say so, too.
  template <typename Handler>
  void AsyncShutdown(Handler handler) {
    tls_->async_shutdown(std::move(handler));
  }

  // ---- Beast's.
  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) return tls_->async_read_some(buffers, std::forward<Handler>(handler));
    tcp_.async_read_some(buffers, std::forward<Handler>(handler));
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) return tls_->async_write_some(buffers, std::forward<Handler>(handler));
    tcp_.async_write_some(buffers, std::forward<Handler>(handler));
  }

 private:
  Tcp tcp_;
  std::optional<boost::asio::ssl::stream<Tcp&>> tls_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_STREAM_H_
