#ifndef MESHGATE_TESTS_BENCH_FLOODS_BYSTANDERS_H_
#define MESHGATE_TESTS_BENCH_FLOODS_BYSTANDERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "tests/bench/load/http2_channel.h"
#include "tests/bench/load/loop.h"

namespace meshgate::bench {

// Well-behaved clients of a gateway that somebody else floods, on connections of their own: callers that read a key
// from the gateway's memory at a steady rate, whether the answer before has come or not, and streams that watch it.
// Used by one thread.
class Bystanders {
 public:
  struct Sizes {
    int callers;
    int calls_per_second;  // of all of them
    int streams;
    int streams_per_connection;
  };

  Bystanders(const std::string& address, bool tls, std::string key, const Sizes& sizes);
  ~Bystanders();

  // The key has the value of `change`. False: not every stream has it within `within`.
  bool Open(uint64_t change, absl::Duration within);
  // Calls until `done` holds, and waits for what is not answered by then. The milliseconds that each took, from when it
  // was due.
  std::vector<double> Call(absl::FunctionRef<bool()> done, absl::Duration patience);
  // Waits until every stream has got the change.
  bool WaitFor(uint64_t change, absl::Duration within);

  // What went wrong first; empty if nothing.
  const std::string& failure() const { return failure_; }

 private:
  class Caller;
  class Watcher;
  class Clock;

  // A connection; null: it is refused.
  std::unique_ptr<Channel> Connect(const RequestHeaders* method, ChannelListener* listener);
  int Reached(uint64_t change) const;
  void OnFailure(const std::string& what);

  const std::string address_;
  const bool tls_;
  const std::string key_;
  const Sizes sizes_;
  const RequestHeaders get_;
  const RequestHeaders watch_;
  Loop loop_;
  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  // By stream.
  std::vector<uint64_t> seen_;
  std::vector<double> latencies_;
  int unanswered_ = 0;
  std::string failure_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_BYSTANDERS_H_
