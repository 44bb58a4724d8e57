#ifndef MESHGATE_TESTS_TESTING_TCP_PROXY_H_
#define MESHGATE_TESTS_TESTING_TCP_PROXY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "consul/base/mutex.h"

namespace meshgate::testing {

// A proxy on a free port of the loopback, between a client and a port of the loopback, that does harm on request.
// Speaks TCP, and HTTP/1.1 as far as it answers by itself. One thread of its own serves all connections; the methods
// may be called from any thread.
class TcpProxy {
 public:
  enum class Mode {
    kPass,
    kDelay,      // each piece of an answer half a second late
    kDrip,       // answers in 16 bytes every 10 ms
    kCutBody,    // answers end in the middle of their body, with the connection
    kHalfClose,  // the same, but the connection stays open for the client to write to
    kHtml,       // every request is answered with 200 and a page of HTML
    kEmptyJson,  // every request is answered with 200 and `[]`, and no index
    kSilent,     // accepts and reads, and nobody answers
    kRefuse,     // connections end at once
  };

  explicit TcpProxy(uint16_t upstream_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  uint16_t port() const { return port_; }
  // "http://127.0.0.1:port"
  std::string url() const;

  // For what comes from now on, on connections that are there, too.
  void SetMode(Mode mode);

  // Breaks all connections; returns when they are broken.
  void BreakAll();

  // From now on every byte of the upstream's is kept, whatever becomes of it.
  void Record() { recording_ = true; }
  std::string recorded();

  // Accepted so far.
  int accepted() const { return accepted_; }

 private:
  class Loop;

  void Wake();

  uint16_t port_ = 0;
  int wake_ = -1;
  std::atomic<Mode> mode_{Mode::kPass};
  std::atomic<bool> stopping_{false};
  std::atomic<int> accepted_{0};
  std::atomic<bool> recording_{false};
  Mutex mu_;
  std::string recorded_ ABSL_GUARDED_BY(mu_);
  CondVar broken_;
  bool break_all_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_TCP_PROXY_H_
