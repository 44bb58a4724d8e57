// ./tests/bench/run.sh micro runs it; the arguments are Google Benchmark's.
#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
