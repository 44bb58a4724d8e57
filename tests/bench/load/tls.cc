#include "tests/bench/load/tls.h"

#include <openssl/ssl.h>
#include <poll.h>

namespace meshgate::bench {
namespace {

constexpr int kPatienceMs = 30'000;

SSL_CTX* Context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(made,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    static constexpr unsigned char kH2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(made, kH2, sizeof kH2);
    return made;
  }();
  return context;
}

}  // namespace

SSL* TlsOn(int fd) {
  SSL* const tls = SSL_new(Context());
  SSL_set_fd(tls, fd);
  while (true) {
    const int result = SSL_connect(tls);
    if (result == 1) return tls;
    const int error = SSL_get_error(tls, result);
    pollfd ready = {fd, static_cast<short>(error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN), 0};
    const bool waits = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    if (waits && poll(&ready, 1, kPatienceMs) > 0) continue;
    SSL_free(tls);
    return nullptr;
  }
}

}  // namespace meshgate::bench
