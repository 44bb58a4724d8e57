#ifndef MESHGATE_SERVER_WIRE_LISTENER_H_
#define MESHGATE_SERVER_WIRE_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "boost/asio/basic_socket_acceptor.hpp"
#include "boost/asio/generic/stream_protocol.hpp"
#include "boost/asio/steady_timer.hpp"
#include "server/wire/event_loop.h"

namespace meshgate::server::wire {

// One port, which takes connections on the thread of a loop and deals them out.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Protocol = boost::asio::generic::stream_protocol;

  // Each new connection with its peer's address, as gRPC writes one ("ipv4:127.0.0.1:41234", "unix:").
  using OnAccept = std::function<void(Protocol::socket socket, std::string peer)>;

  Listener(EventLoop* loop, OnAccept on_accept);

  // HOST:PORT, [ADDRESS]:PORT or unix:PATH. Says in a sentence what is wrong.
  absl::Status Open(const std::string& address);
  // With the port that was chosen for port 0.
  const std::string& address() const { return address_; }

  // ---- On the loop, or before it runs.
  void Start();
  void Close();

 private:
  absl::Status OpenTcp(const std::string& host, const std::string& port);
  absl::Status OpenUnix(const std::string& path);
  void Accept();

  EventLoop* const loop_;
  const OnAccept on_accept_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer retry_;
  std::string address_;
  bool failing_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_LISTENER_H_
