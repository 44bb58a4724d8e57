#ifndef MESHGATE_TESTS_BENCH_COMPARE_CALL_LOAD_H_
#define MESHGATE_TESTS_BENCH_COMPARE_CALL_LOAD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/bench/peers/peer.h"

namespace meshgate::bench {

// Calls of one method in a closed loop: each that ends is followed by another one. Used by one thread, that of `loop`.
class CallLoad {
 public:
  struct Result {
    // Milliseconds.
    std::vector<double> latencies;
    double calls_per_second = 0;
    // Of the server's processes.
    double cpu_microseconds_per_call = 0;
  };

  // Both outlive it.
  CallLoad(Loop* loop, const Peer* peer, Method method);
  ~CallLoad();

  // So many connections with so many calls in flight on each; where a connection carries one call at a time, more of
  // them. Lets it run for a third of the time before it measures.
  absl::StatusOr<Result> Run(int connections, int in_flight, absl::Duration time);

 private:
  class Connection;

  void OnCall(int64_t begun_at);
  void OnFailure(const std::string& what);

  Loop* const loop_;
  const Peer* const peer_;
  const Method method_;
  const std::string request_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<double> latencies_;
  std::string failure_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_CALL_LOAD_H_
