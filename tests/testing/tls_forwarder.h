#ifndef MESHGATE_TESTS_TESTING_TLS_FORWARDER_H_
#define MESHGATE_TESTS_TESTING_TLS_FORWARDER_H_

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "consul/base/mutex.h"
#include "tests/testing/tls_client.h"

namespace meshgate::testing {

// A client's end of TLS, for clients that speak plain text to a free port of the loopback: what one caller is sent can
// be looked at as it is, whichever library it calls with. A connection whose handshake fails ends.
class TlsForwarder {
 public:
  // Connects to "127.0.0.1:PORT" for each client, with these options.
  TlsForwarder(std::string server, TlsClient::Options options);
  ~TlsForwarder();
  TlsForwarder(const TlsForwarder&) = delete;
  TlsForwarder& operator=(const TlsForwarder&) = delete;

  uint16_t port() const { return port_; }

  // Every byte that the server has sent, without TLS.
  std::string received();

 private:
  void Accept();
  void Forward(int plain);

  const std::string server_;
  const TlsClient::Options options_;
  uint16_t port_ = 0;
  const int listener_;
  // Readable once it is over.
  int stop_[2] = {-1, -1};
  Mutex mu_;
  std::string received_ ABSL_GUARDED_BY(mu_);
  // Of the accepting thread, then of the destructor.
  std::vector<std::thread> connections_;
  std::thread accepting_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_TLS_FORWARDER_H_
