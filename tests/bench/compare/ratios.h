#ifndef MESHGATE_TESTS_BENCH_COMPARE_RATIOS_H_
#define MESHGATE_TESTS_BENCH_COMPARE_RATIOS_H_

#include "tests/bench/compare/results.h"

namespace meshgate::bench {

// Prints how the gateway stands to the others: ratios of the medians, of what was measured.
void PrintRatios(const Results& results);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_RATIOS_H_
