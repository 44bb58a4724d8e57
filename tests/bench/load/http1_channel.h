#ifndef MESHGATE_TESTS_BENCH_LOAD_HTTP1_CHANNEL_H_
#define MESHGATE_TESTS_BENCH_LOAD_HTTP1_CHANNEL_H_

#include <string>
#include <string_view>

#include "tests/bench/load/http1_parser.h"
#include "tests/bench/load/socket_channel.h"

namespace meshgate::bench {

// A connection to Consul's HTTP API with one request at a time. An answer other than 200 is a failure.
class Http1Channel final : public SocketChannel {
 public:
  // Owns `fd`, a socket of ConnectTo(). With `watch` each call goes on for ever, as blocking queries: whatever comes is
  // a message, and the next query waits for an index above that answer's.
  Http1Channel(Loop* loop, int fd, bool watch, ChannelListener* listener);

  // `request` is a whole request, or for a watch the target of a GET that has a query already.
  void Call(int call, std::string_view request) override;

 private:
  void OnReady(uint32_t epoll_events) override;
  void OnAnswer();
  void Query();

  const bool watch_;

  int call_ = 0;
  std::string target_;
  Http1Parser parser_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_HTTP1_CHANNEL_H_
