#ifndef MESHGATE_SERVER_WIRE_LISTENER_H_
#define MESHGATE_SERVER_WIRE_LISTENER_H_

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "boost/asio/basic_socket_acceptor.hpp"
#include "boost/asio/generic/stream_protocol.hpp"
#include "boost/asio/steady_timer.hpp"
#include "server/wire/event_loop.h"

namespace meshgate::server::wire {

// One port, which takes connections on the thread of a loop and deals them out.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Protocol = boost::asio::generic::stream_protocol;

  // Each new connection, a non-blocking socket that is the callee's to close, with its peer's address, as gRPC writes
  // one ("ipv4:127.0.0.1:41234", "unix:"). Returns whether the next may follow at once, rather than when what else
  // there is to do has had its turn.
  using OnAccept = std::function<bool(int fd, std::string peer)>;

  // Connections take over what the kernel lets them have from the port: no delay of what is small, and `user_timeout`,
  // how long their peer may leave what it was sent unacknowledged.
  Listener(EventLoop* loop, absl::Duration user_timeout, OnAccept on_accept);

  // HOST:PORT, [ADDRESS]:PORT or unix:PATH. Says in a sentence what is wrong.
  absl::Status Open(const std::string& address);
  // With the port that was chosen for port 0.
  const std::string& address() const { return address_; }

  // ---- On the loop, or before it runs.
  void Start();
  // Idempotent.
  void Close();

 private:
  absl::Status OpenTcp(const std::string& host, const std::string& port);
  absl::Status OpenUnix(const std::string& path);
  void Accept();
  // Those that wait, up to a number. False: there is no taking any for now.
  bool AcceptSome();

  EventLoop* const loop_;
  const absl::Duration user_timeout_;
  const OnAccept on_accept_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer retry_;
  std::string address_;
  // Of a Unix socket's name: another process may have taken the name meanwhile.
  struct stat bound_ = {};
  bool failing_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_LISTENER_H_
