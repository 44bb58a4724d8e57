#ifndef MESHGATE_TESTS_BENCH_COMPARE_WATCH_LOAD_H_
#define MESHGATE_TESTS_BENCH_COMPARE_WATCH_LOAD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/bench/peers/peer.h"

namespace meshgate::bench {

// Many streams that watch the key, read all that comes, and how long it took. Used by one thread, that of `loop`.
class WatchLoad {
 public:
  // Both outlive it.
  WatchLoad(Loop* loop, const Peer* peer);
  ~WatchLoad();

  // Opens them and waits until each has its first message, which says that it is watching.
  absl::Status Open(int streams, int streams_per_connection, absl::Duration patience);

  // From now on a change counts from here: call it just before the write.
  void Expect(uint64_t change);

  // Waits until every stream has got it.
  absl::Status WaitForAll(absl::Duration patience);

  // Milliseconds from Expect() to the arrival, by stream and change, since it was last asked.
  std::vector<double> TakeLatencies();

  // Of the latest change, to the last of the streams.
  double last_latency() const { return last_latency_; }

 private:
  class Connection;

  void OnMessage(int stream, std::string_view message);
  void OnFailure(const std::string& what);
  absl::Status Failure(const std::string& what) const;

  Loop* const loop_;
  const Peer* const peer_;
  std::vector<std::unique_ptr<Connection>> connections_;
  // By stream: the latest change that it has got, which is 0 at first.
  std::vector<uint64_t> latest_;
  std::vector<bool> open_;
  int opened_ = 0;
  int reached_ = 0;
  uint64_t expected_ = 0;
  int64_t written_at_ = 0;
  double last_latency_ = 0;
  std::vector<double> latencies_;
  std::string failure_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_WATCH_LOAD_H_
