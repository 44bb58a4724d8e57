#include "tests/testing/vanishing_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/loopback.h"

namespace meshgate::testing {

VanishingProxy::VanishingProxy(const std::string& target) : target_(target) {
  if (pipe2(stop_, O_CLOEXEC) != 0) abort();
  uint16_t port = 0;
  listener_ = ListenOnLoopback(0, &port);
  address_ = absl::StrCat("127.0.0.1:", port);
  thread_ = std::thread([this] { Run(); });
}

VanishingProxy::~VanishingProxy() {
  close(stop_[1]);
  if (thread_.joinable()) thread_.join();
  for (const Pair& pair : pairs_) {
    close(pair.client);
    close(pair.server);
  }
  close(listener_);
  close(stop_[0]);
}

void VanishingProxy::Run() {
  while (true) {
    std::vector<pollfd> wait = {{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      wait.push_back({pair.client, POLLIN, 0});
      wait.push_back({pair.server, POLLIN, 0});
    }
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    if (wait[0].revents != 0) return;
    if (vanished_) {
      // Open, unread and unanswered until the end.
      pollfd stop{stop_[0], POLLIN, 0};
      poll(&stop, 1, -1);
      return;
    }
    for (size_t i = pairs_.size(); i-- > 0;) {
      const Pair pair = pairs_[i];
      const bool lives = (wait[2 + 2 * i].revents == 0 || PassOn(pair.client, pair.server)) &&
                         (wait[3 + 2 * i].revents == 0 || PassOn(pair.server, pair.client));
      if (lives) continue;
      close(pair.client);
      close(pair.server);
      pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (wait[1].revents != 0) Accept();
  }
}

void VanishingProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = 0;
  const bool known = absl::SimpleAtoi(target_.substr(target_.rfind(':') + 1), &port);
  const sockaddr_in address = Loopback(static_cast<uint16_t>(port));
  if (!known || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(client);
    close(server);
    return;
  }
  pairs_.push_back({client, server});
}

bool VanishingProxy::PassOn(int from, int to) {
  char chunk[16384];
  const ssize_t got = recv(from, chunk, sizeof chunk, 0);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t n = send(to, chunk + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += n;
  }
  return true;
}

}  // namespace meshgate::testing
