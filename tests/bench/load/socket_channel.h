#ifndef MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_
#define MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_

#include <string>

#include "tests/bench/load/channel.h"
#include "tests/bench/load/loop.h"

namespace meshgate::bench {

// What channels of any protocol do with their sockets.
class SocketChannel : public Channel, public Loop::Source {
 protected:
  // Owns `fd`, a socket of ConnectTo().
  SocketChannel(Loop* loop, int fd, ChannelListener* listener);
  ~SocketChannel() override;

  // Tells the listener, once; nothing is sent or received any more.
  void Fail(const std::string& what);
  // Sends what there is of output_, and waits for room for the rest.
  void Flush();

  Loop* const loop_;
  const int fd_;
  ChannelListener* const listener_;
  std::string output_;
  bool in_event_ = false;
  bool failed_ = false;

 private:
  bool wants_write_ = false;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_SOCKET_CHANNEL_H_
