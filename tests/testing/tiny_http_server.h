// The smallest HTTP server that a health check or a client can be tried against: one thread, one connection at a time.
#ifndef MESHGATE_TESTS_TESTING_TINY_HTTP_SERVER_H_
#define MESHGATE_TESTS_TESTING_TINY_HTTP_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "consul/base/mutex.h"

namespace meshgate::testing {

// Listens on a port of its own on 127.0.0.1 from construction to destruction. Thread-safe.
class TinyHttpServer {
 public:
  // One accepted connection: the server's side of what a test wants to happen.
  class Connection {
   public:
    explicit Connection(int fd) : fd_(fd) {}
    // One request: head and as much of a body as Content-Length says. Empty when the peer is gone.
    std::string ReadRequest();
    // False when the peer is gone.
    bool Write(const std::string& bytes);
    // Writes until the peer has taken nothing for `silence`; returns how much it took. What it takes unread is little:
    // this side's buffer is small from then on.
    size_t WriteUntilHeld(const std::string& bytes, absl::Duration silence);
    // Returns when the peer has closed, or the server is being destroyed.
    void AwaitClose();
    // Closing then resets the connection.
    void ResetOnClose();

   private:
    int fd_;
    std::string rest_;
  };
  using Script = std::function<void(Connection&)>;

  // Answers every request with `status()` and an empty body, and closes.
  TinyHttpServer();
  // Runs `script` for every connection, which ends with it.
  explicit TinyHttpServer(Script script);
  // Breaks the connection being served.
  ~TinyHttpServer();

  uint16_t port() const { return port_; }
  void set_status(int status) { status_ = status; }
  // The latest request that the default script has read, head and body.
  std::string last_request();
  // Accepted so far.
  int connections() const { return connections_; }

 private:
  void Serve();

  Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> status_{200};
  std::atomic<int> connections_{0};
  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int serving_ ABSL_GUARDED_BY(mu_) = -1;
  std::string last_request_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_TINY_HTTP_SERVER_H_
