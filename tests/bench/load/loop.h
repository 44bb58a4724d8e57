#ifndef MESHGATE_TESTS_BENCH_LOAD_LOOP_H_
#define MESHGATE_TESTS_BENCH_LOAD_LOOP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace meshgate::bench {

// This process's steady clock, nanoseconds.
int64_t SteadyNanos();

// Connects to "ADDRESS:PORT" and returns the socket, which does not block; -1 where nobody listens. Closing it resets
// the connection, so that no port is kept waiting.
int ConnectTo(const std::string& address);

// One thread that waits for many sockets. Not thread-safe.
class Loop {
 public:
  class Source {
   public:
    virtual ~Source() = default;
    virtual void OnReady(uint32_t epoll_events) = 0;
  };

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // `source` is called for what there is to read until it is removed, outside of RunUntil().
  void Add(int fd, Source* source);
  void Remove(int fd);
  // Whether it is called, too, when there is room to write.
  void WantWrite(int fd, Source* source, bool want);

  // Runs until `done` holds, which is looked at after each round of events. False: not within `within`.
  bool RunUntil(absl::FunctionRef<bool()> done, absl::Duration within);
  // Runs for so long.
  void RunFor(absl::Duration time);

  // Sources read into this, one after the other.
  std::vector<char>& buffer() { return buffer_; }

 private:
  const int epoll_;
  std::vector<char> buffer_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_LOOP_H_
