#ifndef MESHGATE_TESTS_BENCH_LOAD_HTTP2_CHANNEL_H_
#define MESHGATE_TESTS_BENCH_LOAD_HTTP2_CHANNEL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "tests/bench/load/http2.h"
#include "tests/bench/load/request_headers.h"
#include "tests/bench/load/socket_channel.h"

namespace meshgate::bench {

// A gRPC client's connection, reduced to what a measurement needs: it costs little beside the server that it loads.
// Windows are as large as HTTP/2 allows, so that flow control limits nothing; headers of answers are not decoded, so a
// call that fails is one that ends without a message, whatever its status is. What it sends fits the windows that
// servers give at first.
class Http2Channel final : public SocketChannel {
 public:
  // Owns `fd`, a socket of ConnectTo(). `headers`, which outlives it, name the method; `half_close` is false for
  // methods whose requests are a stream, which then stays open. With `tls`, of TlsOn() the socket, it speaks TLS.
  Http2Channel(Loop* loop, int fd, const RequestHeaders* headers, bool half_close, ChannelListener* listener,
               SSL* tls = nullptr);

  void Call(int call, std::string_view request) override;

 private:
  struct Stream {
    int call = 0;
    bool answered = false;
    // The beginning of a message whose end has not come yet.
    std::string partial;
  };

  void OnReady(uint32_t epoll_events) override;
  void TakeSome();
  void OnFrame(const http2::FrameHeader& header, std::string_view payload);
  void OnData(uint32_t id, std::string_view data);
  void OnStreamEnd(uint32_t id);
  void CountReceived(size_t bytes);

  const RequestHeaders* const headers_;
  const bool half_close_;

  uint32_t next_stream_ = 1;
  absl::flat_hash_map<uint32_t, Stream> streams_;
  // The beginning of a frame whose end has not come yet.
  std::string input_;
  // What the connection's window has not been given back.
  uint32_t received_ = 0;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_HTTP2_CHANNEL_H_
