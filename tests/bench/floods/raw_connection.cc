#include "tests/bench/floods/raw_connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/bench/load/http2.h"
#include "tests/bench/load/loop.h"
#include "tests/bench/load/tls.h"

namespace meshgate::bench {
namespace {

// A server that takes nothing for so long from a peer that takes nothing either has stopped reading.
constexpr absl::Duration kDeafAfter = absl::Milliseconds(500);

// What is on its way when the server ends the connection was sent, and not looked at: keep it small.
constexpr int kSendBuffer = 16 << 10;

}  // namespace

RawConnection::RawConnection(const std::string& address, bool reads, Layer layer)
    : reads_(reads), layer_(layer), fd_(ConnectTo(address)) {
  if (fd_ < 0) return;
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  if (layer != Layer::kTls) return;
  tls_ = TlsOn(fd_);
  closed_ = tls_ == nullptr;
}

RawConnection::~RawConnection() {
  SSL_free(tls_);
  if (fd_ >= 0) close(fd_);
}

ssize_t RawConnection::Put(std::string_view bytes) {
  if (tls_ == nullptr) return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ERR_clear_error();
  const int sent = SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()));
  if (sent > 0) return sent;
  const int error = SSL_get_error(tls_, sent);
  errno = error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
  return -1;
}

ssize_t RawConnection::Get(char* to, size_t size) {
  if (tls_ == nullptr) return recv(fd_, to, size, MSG_DONTWAIT);
  ERR_clear_error();
  const int got = SSL_read(tls_, to, static_cast<int>(size));
  if (got > 0) return got;
  errno = SSL_get_error(tls_, got) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
  return -1;
}

bool RawConnection::UpdateKeys(absl::Time until) {
  if (tls_ == nullptr || ended()) return false;
  if (SSL_get_key_update_type(tls_) == SSL_KEY_UPDATE_NONE) SSL_key_update(tls_, SSL_KEY_UPDATE_REQUESTED);
  ERR_clear_error();
  const int done = SSL_do_handshake(tls_);
  if (done != 1) {
    const int error = SSL_get_error(tls_, done);
    if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) closed_ = true;
  }
  return !ended() && Listen(absl::ZeroDuration()) && absl::Now() < until;
}

bool RawConnection::Send(std::string_view bytes, absl::Time until) {
  if (fd_ < 0) return false;
  absl::Time progress = absl::Now();
  while (!ended() && !bytes.empty()) {
    pollfd ready{fd_, static_cast<short>(reads_ ? POLLIN | POLLOUT : POLLOUT), 0};
    poll(&ready, 1, 20);
    if (ready.revents & POLLIN) Take();
    if (ready.revents & (POLLOUT | POLLERR | POLLHUP)) {
      const ssize_t sent = Put(bytes);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) closed_ = true;
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
        progress = absl::Now();
        continue;
      }
    }
    const absl::Time now = absl::Now();
    if (!reads_ && now - progress > kDeafAfter) deaf_ = true;
    if (now > until) return false;
  }
  return !ended();
}

bool RawConnection::Listen(absl::Duration time) {
  const absl::Time until = absl::Now() + time;
  while (!ended() && fd_ >= 0) {
    const absl::Duration left = std::max(until - absl::Now(), absl::ZeroDuration());
    pollfd ready{fd_, static_cast<short>(reads_ ? POLLIN : 0), 0};
    poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    if (ready.revents & POLLIN) {
      Take();
    } else if (ready.revents & (POLLERR | POLLHUP)) {
      closed_ = true;
    }
    if (left == absl::ZeroDuration()) return !ended();
  }
  return false;
}

void RawConnection::Take() {
  char buffer[64 << 10];
  ssize_t got;
  // Of TLS there may be more than the socket tells of.
  do {
    got = Get(buffer, sizeof buffer);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) closed_ = true;
    if (got > 0 && layer_ != Layer::kBelowTls) input_.append(buffer, static_cast<size_t>(got));
  } while (tls_ != nullptr && got > 0);
  std::string_view rest = input_;
  while (rest.size() >= http2::kFrameHeader) {
    const http2::FrameHeader header = http2::ReadFrameHeader(rest.data());
    if (rest.size() < http2::kFrameHeader + header.length) break;
    OnFrame(header.type, rest.substr(http2::kFrameHeader, header.length));
    rest.remove_prefix(http2::kFrameHeader + header.length);
  }
  input_.erase(0, input_.size() - rest.size());
}

void RawConnection::OnFrame(uint8_t type, std::string_view payload) {
  if (type != http2::kGoAway || payload.size() < 8) return;
  const uint32_t code = http2::ReadU32(payload.data() + 4);
  if (code != 0) goaway_ = code;
}

std::string RawConnection::ending() const {
  if (goaway_.has_value()) return absl::StrCat("GOAWAY ", *goaway_);
  return closed_ ? "closed" : deaf_ ? "not read" : "open";
}

}  // namespace meshgate::bench
