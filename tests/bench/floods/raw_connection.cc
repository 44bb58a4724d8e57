#include "tests/bench/floods/raw_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/bench/load/http2.h"
#include "tests/bench/load/loop.h"

namespace meshgate::bench {
namespace {

// A server that takes nothing for so long from a peer that takes nothing either has stopped reading.
constexpr absl::Duration kDeafAfter = absl::Milliseconds(500);

// What is on its way when the server ends the connection was sent, and not looked at: keep it small.
constexpr int kSendBuffer = 16 << 10;

}  // namespace

RawConnection::RawConnection(const std::string& address, bool reads) : reads_(reads), fd_(ConnectTo(address)) {
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) close(fd_);
}

bool RawConnection::Send(std::string_view bytes, absl::Time until) {
  if (fd_ < 0) return false;
  absl::Time progress = absl::Now();
  while (!ended() && !bytes.empty()) {
    pollfd ready{fd_, static_cast<short>(reads_ ? POLLIN | POLLOUT : POLLOUT), 0};
    poll(&ready, 1, 20);
    if (ready.revents & POLLIN) Take();
    if (ready.revents & (POLLOUT | POLLERR | POLLHUP)) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
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
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    pollfd ready{fd_, static_cast<short>(reads_ ? POLLIN : 0), 0};
    poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (ready.revents & POLLIN) {
      Take();
    } else if (ready.revents & (POLLERR | POLLHUP)) {
      closed_ = true;
    }
  }
  return false;
}

void RawConnection::Take() {
  char buffer[64 << 10];
  const ssize_t got = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) closed_ = true;
  if (got <= 0) return;
  input_.append(buffer, static_cast<size_t>(got));
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
