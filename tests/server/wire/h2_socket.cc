#include "tests/server/wire/h2_socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/time/clock.h"

namespace meshgate::testing {

H2Socket::H2Socket(const std::string& address, uint32_t stream_window, int receive_buffer)
    : client_(stream_window), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  const size_t colon = address.rfind(':');
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(colon + 1).c_str())));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &peer.sin_addr);
  closed_ = connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0;
}

H2Socket::~H2Socket() { close(fd_); }

void H2Socket::SendOnly() {
  const std::string bytes = client_.Output();
  for (size_t sent = 0; sent < bytes.size() && !closed_;) {
    const ssize_t size = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    closed_ = size < 0;
    sent += static_cast<size_t>(std::max<ssize_t>(size, 0));
  }
}

void H2Socket::Deliver() {
  SendOnly();
  // What the other end's kernel has not acknowledged.
  for (int under_way = 1; under_way > 0 && !closed_;) closed_ = ioctl(fd_, SIOCOUTQ, &under_way) != 0;
}

void H2Socket::Take(absl::Duration within) {
  pollfd ready = {fd_, POLLIN, 0};
  if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(within))) <= 0) return;
  char buffer[16 << 10];
  const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
  if (size <= 0) {
    closed_ = true;
  } else {
    client_.Receive({buffer, static_cast<size_t>(size)});
  }
}

bool H2Socket::Until(const std::function<bool()>& holds, absl::Duration within) {
  const absl::Time end = absl::Now() + within;
  while (!holds()) {
    if (closed_ || absl::Now() > end) return false;
    SendOnly();
    Take(absl::Milliseconds(10));
  }
  return true;
}

bool H2Socket::UntilInSilence(const std::function<bool()>& holds, absl::Duration within) {
  const absl::Time end = absl::Now() + within;
  while (!holds()) {
    if (closed_ || absl::Now() > end) return false;
    Take(absl::Milliseconds(10));
  }
  return true;
}

}  // namespace meshgate::testing
