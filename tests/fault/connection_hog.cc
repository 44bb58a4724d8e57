#include "tests/fault/connection_hog.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace meshgate::fault {
namespace {

// How long the agent has to end a connection that is one too many.
constexpr int kVerdictMs = 20;

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

ConnectionHog::ConnectionHog(uint16_t port) : thread_([this, port] { Run(port); }) {}

ConnectionHog::~ConnectionHog() {
  stopping_ = true;
  thread_.join();
}

void ConnectionHog::Run(uint16_t port) {
  std::vector<int> fds;
  while (!stopping_) {
    const int fd = Connect(port);
    if (fd < 0) continue;
    pollfd ended{fd, POLLIN, 0};
    if (poll(&ended, 1, kVerdictMs) > 0) {
      ++refused_;
      close(fd);
    } else {
      fds.push_back(fd);
      ++held_;
    }
  }
  for (const int fd : fds) close(fd);
}

}  // namespace meshgate::fault
