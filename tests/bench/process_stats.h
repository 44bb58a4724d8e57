// What the kernel says of a process and of its connections, from /proc.
#ifndef MESHGATE_TESTS_BENCH_PROCESS_STATS_H_
#define MESHGATE_TESTS_BENCH_PROCESS_STATS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/time/time.h"

namespace meshgate::bench {

// Resident memory; 0 where there is no such process.
int64_t ResidentBytes(pid_t pid);

// The most it has been since ResetPeakResident(), or since the process began.
int64_t PeakResidentBytes(pid_t pid);
void ResetPeakResident(pid_t pid);

// CPU time so far, user and system.
absl::Duration CpuTime(pid_t pid);

// Looks every 25 ms, on a thread of its own, how many connections from 127.0.0.1 a port of 127.0.0.1 has.
class ConnectionSampler {
 public:
  explicit ConnectionSampler(uint16_t port);
  ~ConnectionSampler();

  // Most at one time so far.
  int most() const { return most_; }
  // The same, with those that the client has closed and the server still holds: they count in Consul's limit.
  int most_held() const { return most_held_; }

 private:
  void Sample();

  const uint16_t port_;
  std::atomic<int> most_{0};
  std::atomic<int> most_held_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_PROCESS_STATS_H_
