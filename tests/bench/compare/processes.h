#ifndef MESHGATE_TESTS_BENCH_COMPARE_PROCESSES_H_
#define MESHGATE_TESTS_BENCH_COMPARE_PROCESSES_H_

#include "absl/time/time.h"
#include "tests/bench/peers/peer.h"

namespace meshgate::bench {

// CPU time of all processes of a peer.
absl::Duration CpuTime(const Peer& peer);

// Their resident memory, KiB, when they have come to rest: they are waited for, 5 s at most, while `loop` runs.
double RestingKib(Loop* loop, const Peer& peer);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_PROCESSES_H_
