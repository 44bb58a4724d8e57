#include "tests/testing/tls_forwarder.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "tests/testing/loopback.h"

namespace meshgate::testing {
namespace {

bool SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

// Of a socket that does not block.
bool WriteAll(SSL* ssl, int fd, const char* data, size_t size) {
  while (true) {
    const int written = SSL_write(ssl, data, static_cast<int>(size));
    if (written == static_cast<int>(size)) return true;
    if (SSL_get_error(ssl, written) != SSL_ERROR_WANT_WRITE) return false;
    pollfd room = {fd, POLLOUT, 0};
    poll(&room, 1, -1);
  }
}

}  // namespace

TlsForwarder::TlsForwarder(std::string server, TlsClient::Options options)
    : server_(std::move(server)), options_(std::move(options)), listener_(ListenOnLoopback(0, &port_)) {
  if (pipe2(stop_, O_CLOEXEC) != 0) abort();
  accepting_ = std::thread([this] { Accept(); });
}

TlsForwarder::~TlsForwarder() {
  close(stop_[1]);
  accepting_.join();
  for (std::thread& connection : connections_) connection.join();
  close(listener_);
  close(stop_[0]);
}

std::string TlsForwarder::received() {
  MutexLock lock(mu_);
  return received_;
}

void TlsForwarder::Accept() {
  while (true) {
    pollfd waiting[] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    poll(waiting, 2, -1);
    if (waiting[1].revents != 0) return;
    const int plain = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (plain < 0) continue;
    connections_.emplace_back([this, plain] {
      Forward(plain);
      close(plain);
    });
  }
}

void TlsForwarder::Forward(int plain) {
  TlsClient client(server_, options_);
  if (!client.Handshake()) return;
  SSL* const ssl = client.raw();
  fcntl(client.fd(), F_SETFL, fcntl(client.fd(), F_GETFL) | O_NONBLOCK);
  char buffer[16 << 10];
  while (true) {
    const int read = SSL_read(ssl, buffer, sizeof buffer);
    if (read > 0) {
      {
        MutexLock lock(mu_);
        received_.append(buffer, static_cast<size_t>(read));
      }
      if (!SendAll(plain, buffer, static_cast<size_t>(read))) return;
      continue;
    }
    const bool more = SSL_get_error(ssl, read) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    if (!more) return;
    pollfd waiting[] = {{plain, POLLIN, 0}, {client.fd(), POLLIN, 0}, {stop_[0], POLLIN, 0}};
    poll(waiting, 3, -1);
    if (waiting[2].revents != 0) return;
    if (waiting[0].revents == 0) continue;
    const ssize_t size = recv(plain, buffer, sizeof buffer, 0);
    if (size <= 0 || !WriteAll(ssl, client.fd(), buffer, static_cast<size_t>(size))) return;
  }
}

}  // namespace meshgate::testing
