#ifndef MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_
#define MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_

#include <openssl/types.h>
#include <sys/types.h>

#include <cstddef>
#include <string>

#include "tests/bench/load/channel.h"
#include "tests/bench/load/loop.h"

namespace meshgate::bench {

// What channels of any protocol do with their sockets.
class SocketChannel : public Channel, public Loop::Source {
 protected:
  // Owns `fd`, a socket of ConnectTo(), and `tls`, if there is any, of TlsOn() it.
  SocketChannel(Loop* loop, int fd, ChannelListener* listener, SSL* tls = nullptr);
  ~SocketChannel() override;

  // Tells the listener, once; nothing is sent or received any more.
  void Fail(const std::string& what);
  // Sends what there is of output_, and waits for room for the rest.
  void Flush();
  // As recv(): what there is, at most `size` bytes.
  ssize_t Receive(char* to, size_t size);
  // More can be received, and the loop does not know of it.
  bool HasMore() const;

  Loop* const loop_;
  const int fd_;
  ChannelListener* const listener_;
  std::string output_;
  bool in_event_ = false;
  bool failed_ = false;

 private:
  ssize_t Send();

  SSL* const tls_;
  bool wants_write_ = false;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_
