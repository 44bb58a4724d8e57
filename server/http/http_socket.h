// The socket of an HTTP connection: how it begins and how it ends, in plain text and in TLS.
#ifndef MESHGATE_SERVER_HTTP_HTTP_SOCKET_H_
#define MESHGATE_SERVER_HTTP_HTTP_SOCKET_H_

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "server/http/http_stream.h"
#include "server/http/names.h"
#include "server/tls/endpoint.h"
#include "server/tls/failure.h"
#include "server/tls/identity.h"

namespace meshgate::server {

// All but Open() is for the thread of the socket.
class HttpSocket : public std::enable_shared_from_this<HttpSocket> {
 public:
  virtual ~HttpSocket() = default;

 protected:
  // `tls`, which outlives it, is null for plain text.
  HttpSocket(tls::Endpoint* tls, boost::asio::ip::tcp::socket socket)
      : tls_(tls),
        peer_(PeerName(socket)),
        stream_(std::move(socket), tls == nullptr ? nullptr : tls->context().get()) {}

  // Shakes hands, where that is asked for, and calls OnOpen(). Any thread.
  void Open() {
    if (tls_ == nullptr) {
      return boost::asio::post(stream_.get_executor(), [self = shared_from_this()] { self->OnOpen(); });
    }
    // Without a place it goes, and the connection with it.
    handshake_ = tls_->Admit(peer_);
    if (!handshake_) return;
    boost::asio::post(stream_.get_executor(), [self = shared_from_this()] { self->ShakeHands(); });
  }
  virtual void OnOpen() = 0;

  // Says that nothing follows. `unread`: the peer may still be sending what nobody reads. `gone`: nobody listens.
  void Close(bool unread, bool gone) {
    if (!std::exchange(secure_, false) || gone) return CloseSocket(unread);
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(kGrace));
    stream_.AsyncShutdown([self = shared_from_this()](const Error&) { self->CloseSocket(/*unread=*/false); });
  }

  HttpStream& stream() { return stream_; }
  const std::string& peer() const { return peer_; }
  // Empty: no certificate was shown.
  const std::string& tls_identity() const { return tls_identity_; }
  bool stopping() const { return stopping_; }
  void set_stopping() { stopping_ = true; }

 private:
  using Error = boost::system::error_code;

  static constexpr absl::Duration kGrace = absl::Seconds(1);

  void ShakeHands() {
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(tls_->handshake_timeout()));
    stream_.AsyncHandshake([self = shared_from_this()](const Error& error) { self->OnHandshake(error); });
  }

  void OnHandshake(const Error& error) {
    handshake_ = {};
    const std::optional<tls::Failure> failure = stream_.FailureOf(error);
    if (!failure.has_value()) {
      secure_ = true;
      tls_identity_ = tls::IdentityOfPeer(stream_.ssl());
      return OnOpen();
    }
    if (stopping_) return stream_.tcp().close();
    tls_->OnFailure(*failure, peer_);
    if (!failure->http) return CloseSocket(/*unread=*/false);
    const std::string_view answer = tls::kAnswerToPlainHttp;
    boost::asio::async_write(
        stream_.tcp(), boost::asio::buffer(answer.data(), answer.size()),
        [self = shared_from_this()](const Error&, size_t) { self->CloseSocket(/*unread=*/false); });
  }

  void CloseSocket(bool unread) {
    Error ignored;
    stream_.tcp().socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
    Error failed;
    if (!unread) unread = !stopping_ && stream_.tcp().socket().available(failed) > 0;
    if (!unread) return stream_.tcp().close();
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(kGrace));
    Linger(std::make_shared<std::array<char, 4096>>());
  }

  // Closing with something unread resets the connection, and the peer may lose the answer that says why.
  void Linger(std::shared_ptr<std::array<char, 4096>> unread) {
    stream_.tcp().async_read_some(boost::asio::buffer(*unread),
                                  [self = shared_from_this(), unread](const Error& error, size_t) {
                                    if (error || self->stopping_) return self->stream_.tcp().close();
                                    self->Linger(unread);
                                  });
  }

  tls::Endpoint* const tls_;
  const std::string peer_;
  std::string tls_identity_;
  tls::HandshakeBudget::Place handshake_;
  HttpStream stream_;
  bool stopping_ = false;
  bool secure_ = false;  // TLS is spoken.
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_SOCKET_H_
