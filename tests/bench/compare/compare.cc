#include "tests/bench/compare/compare.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tests/bench/compare/compared_workloads.h"
#include "tests/bench/compare/ratios.h"

namespace meshgate::bench {
namespace {

const std::vector<std::pair<std::string, void (*)(Round*)>>& Workloads() {
  static const auto& workloads = *new std::vector<std::pair<std::string, void (*)(Round*)>>{
      {"fan_out", &FanOut}, {"unary", &Unary}, {"discover", &Discover}, {"propagation", &Propagation}, {"idle", &Idle}};
  return workloads;
}

// The load's client sends a request in one frame, of 16,384 bytes at most.
constexpr int kMostValueBytes = 16000;

}  // namespace

const std::vector<std::string>& ComparedWorkloads() {
  static const auto& names = *new std::vector<std::string>([] {
    std::vector<std::string> all;
    for (const auto& [name, run] : Workloads()) all.push_back(name);
    return all;
  }());
  return names;
}

bool Compare(const Config& config, const std::vector<std::string>& names) {
  if (config.value_bytes > kMostValueBytes) {
    std::printf("FAILED: values are compared up to %d bytes, which is what one frame of HTTP/2 carries\n",
                kMostValueBytes);
    return false;
  }
  Results results;
  bool passed = true;
  const int runs = config.Or(config.runs, 3, 1);
  for (int i = 0; i < runs; ++i) {
    Round round(config, i, &results);
    for (const auto& [name, run] : Workloads()) {
      if (std::find(names.begin(), names.end(), name) != names.end()) run(&round);
    }
    passed = passed && round.passed();
  }
  std::printf("medians of %d run%s\n", runs, runs == 1 ? "" : "s");
  results.Print();
  PrintRatios(results);
  return passed;
}

}  // namespace meshgate::bench
