#ifndef MESHGATE_TESTS_BENCH_READERS_H_
#define MESHGATE_TESTS_BENCH_READERS_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "meshgate/v1/config_service.grpc.pb.h"

namespace meshgate::bench {

// A value that says which change it is and when it was written, by this process's steady clock; at least 41 bytes.
std::string Stamp(uint64_t change, size_t bytes = 0);

// Writes a value that says which change it is (load/stamp.h). Returns whether it was taken.
bool PutStamped(v1::ConfigService::Stub* writer, const std::string& key, uint64_t change, size_t bytes);

// A connection of its own. With `fixed_window` its client takes no more than HTTP/2's default of 64 KiB for a stream
// that is not read, however much the others read.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, bool fixed_window = false);

// Many WatchConfig streams that read all that comes, on gRPC's callback client, and how long it took. Thread-safe.
class Readers {
 public:
  Readers();
  // Cancels the streams and waits for their end.
  ~Readers();

  // One stream per request; they go round the channels.
  void Open(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
            const std::vector<v1::WatchConfigRequest>& requests);

  // Waits until every stream has got its first state, or that change or a later one. False: not within `within`.
  bool WaitOpen(absl::Duration within);
  bool WaitFor(uint64_t change, absl::Duration within);

  // How many have; how many streams have ended, which none should.
  int opened() const;
  int reached(uint64_t change) const;
  int ended() const;

  // Milliseconds from writing a change to its arrival, by stream and change, since it was last asked. Change 0, which
  // is there before the streams are, is not among them.
  std::vector<double> TakeLatencies();

 private:
  class Stream;

  void OnMessage(Stream& stream, const v1::WatchConfigResponse& response);
  void OnEnd(const grpc::Status& status);
  int ReachedLocked(uint64_t change) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  CondVar changed_;
  std::vector<std::unique_ptr<Stream>> streams_ ABSL_GUARDED_BY(mu_);
  int opened_ ABSL_GUARDED_BY(mu_) = 0;
  int ended_ ABSL_GUARDED_BY(mu_) = 0;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // By change: streams that have got it or a later one.
  std::vector<int> reached_ ABSL_GUARDED_BY(mu_);
  std::vector<double> latencies_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_READERS_H_
