#ifndef MESHGATE_TESTS_BENCH_FLOOR_CONNECTION_H_
#define MESHGATE_TESTS_BENCH_FLOOR_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/floor/state.h"
#include "tests/bench/load/http2.h"

namespace meshgate::bench {

// One connection of the floor: all that a server cannot do without, for a client that does nothing unforeseen. It
// belongs to one thread.
class FloorConnection {
 public:
  // Owns `fd`.
  explicit FloorConnection(int fd);
  ~FloorConnection();

  int fd() const { return fd_; }

  // Reads what there is, into `buffer`, and answers. `on_put` gets the requests that change the state. False: the
  // connection has ended.
  bool OnReadable(const SharedFloorState& state, std::vector<char>* buffer,
                  const std::function<void(std::string_view request)>& on_put);

  // Sends the state to every stream that watches, with one call of the kernel.
  void Broadcast(const FloorState& state);

  // Sends what the kernel had no room for. Returns whether that is all of it; otherwise call it when there is room.
  bool Flush();

 private:
  enum class Method { kUnknown, kGet, kPut, kWatch };

  void OnFrame(const http2::FrameHeader& header, std::string_view payload, const FloorState& state,
               const std::function<void(std::string_view)>& on_put);

  const int fd_;
  Method method_ = Method::kUnknown;
  std::vector<uint32_t> watches_;
  std::string input_;
  std::string output_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOOR_CONNECTION_H_
