#ifndef MESHGATE_TESTS_BENCH_LOAD_CHANNEL_H_
#define MESHGATE_TESTS_BENCH_LOAD_CHANNEL_H_

#include <string>
#include <string_view>

namespace meshgate::bench {

// What a connection of the load reports. Called from Loop::RunUntil() alone.
class ChannelListener {
 public:
  virtual ~ChannelListener() = default;
  // `message` is valid during this call, which must not begin another.
  virtual void OnMessage(int call, std::string_view message) = 0;
  // The server has ended the call. `answered`: with a message before. The next call may begin in here.
  virtual void OnEnd(int call, bool answered) = 0;
  // The connection, or a call of it, was broken off by the server. More such may follow.
  virtual void OnFailure(const std::string& what) = 0;
};

// One connection of the load, for calls of one method. Destroyed outside of Loop::RunUntil() alone. Not thread-safe.
class Channel {
 public:
  virtual ~Channel() = default;
  // Begins a call. `request` is what Peer::Request() made for the channel's method.
  virtual void Call(int call, std::string_view request) = 0;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_CHANNEL_H_
