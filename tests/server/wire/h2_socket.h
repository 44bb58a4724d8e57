#ifndef MESHGATE_TESTS_SERVER_WIRE_H2_SOCKET_H_
#define MESHGATE_TESTS_SERVER_WIRE_H2_SOCKET_H_

#include <functional>
#include <string>

#include "absl/time/time.h"
#include "tests/server/wire/h2_client.h"

namespace meshgate::testing {

// A connection of the loopback, with a client that does nothing by itself: it keeps no deadlines, and answers no ping
// while nobody carries its bytes.
class H2Socket {
 public:
  // `address`: HOST:PORT. `receive_buffer`: of the socket, in bytes; 0 is the system's.
  explicit H2Socket(const std::string& address, uint32_t stream_window = 65535, int receive_buffer = 0);
  ~H2Socket();
  H2Socket(const H2Socket&) = delete;
  H2Socket& operator=(const H2Socket&) = delete;

  H2Client& client() { return client_; }

  // Carries bytes both ways until it holds. False: not within that time, or the server has closed before.
  bool Until(const std::function<bool()>& holds, absl::Duration within = absl::Seconds(30));
  // The same, without a byte sent: a peer that is silent.
  bool UntilInSilence(const std::function<bool()>& holds, absl::Duration within = absl::Seconds(30));
  // Sends what the client has, and takes nothing: a peer that does not read.
  void SendOnly();
  // The same, and waits until it is at the server's socket, where the kernel brings it when it has time.
  void Deliver();
  bool closed() const { return closed_; }

 private:
  // Waits for bytes for so long.
  void Take(absl::Duration within);

  H2Client client_;
  int fd_ = -1;
  bool closed_ = false;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_WIRE_H2_SOCKET_H_
