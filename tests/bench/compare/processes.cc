#include "tests/bench/compare/processes.h"

#include "tests/bench/process_stats.h"

namespace meshgate::bench {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(200);
constexpr int kMostLooks = 25;
// What a garbage collector or a heartbeat takes meanwhile is no work.
constexpr absl::Duration kRest = absl::Milliseconds(10);

}  // namespace

absl::Duration CpuTime(const Peer& peer) {
  absl::Duration total;
  for (const pid_t pid : peer.pids()) total += CpuTime(pid);
  return total;
}

double RestingKib(Loop* loop, const Peer& peer) {
  absl::Duration before = CpuTime(peer);
  for (int i = 0; i < kMostLooks; ++i) {
    loop->RunFor(kLook);
    const absl::Duration now = CpuTime(peer);
    if (now - before <= kRest) break;
    before = now;
  }
  double bytes = 0;
  for (const pid_t pid : peer.pids()) bytes += static_cast<double>(ResidentBytes(pid));
  return bytes / 1024;
}

}  // namespace meshgate::bench
