#ifndef MESHGATE_TESTS_BENCH_COMPARE_COMPARE_H_
#define MESHGATE_TESTS_BENCH_COMPARE_COMPARE_H_

#include <string>
#include <vector>

#include "tests/bench/workloads.h"

namespace meshgate::bench {

// The workloads that compare the gateway with other servers.
const std::vector<std::string>& ComparedWorkloads();

// Runs those named, Config::runs times one after the other, and prints the medians and their ratios. Returns whether
// everything could be measured.
bool Compare(const Config& config, const std::vector<std::string>& names);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_COMPARE_H_
