#include "tests/bench/load/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"

namespace meshgate::bench {
namespace {

constexpr size_t kBufferBytes = 512 << 10;
constexpr int kEvents = 512;

}  // namespace

int64_t SteadyNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

int ConnectTo(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    return -1;
  }
  to.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const linger reset{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(kBufferBytes) {
  if (epoll_ < 0) abort();
}

Loop::~Loop() { close(epoll_); }

void Loop::Add(int fd, Source* source) {
  epoll_event event{EPOLLIN, {source}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) abort();
}

void Loop::Remove(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Loop::WantWrite(int fd, Source* source, bool want) {
  epoll_event event{want ? EPOLLIN | EPOLLOUT : EPOLLIN, {source}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

bool Loop::RunUntil(absl::FunctionRef<bool()> done, absl::Duration within) {
  const int64_t end = SteadyNanos() + absl::ToInt64Nanoseconds(within);
  epoll_event events[kEvents];
  while (!done()) {
    const int64_t left = end - SteadyNanos();
    if (left <= 0) return false;
    const int count =
        epoll_wait(epoll_, events, kEvents, static_cast<int>(std::min<int64_t>(left / 1000000 + 1, 1000)));
    for (int i = 0; i < count; ++i) static_cast<Source*>(events[i].data.ptr)->OnReady(events[i].events);
  }
  return true;
}

void Loop::RunFor(absl::Duration time) {
  RunUntil([] { return false; }, time);
}

}  // namespace meshgate::bench
