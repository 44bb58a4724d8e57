// Deciding which of many keys share a query.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/upstream/planner.h"

namespace meshgate::consul {
namespace {

// As many as a stock agent's limit of connections leaves.
constexpr size_t kQueries = 150;
constexpr size_t kBytes = 300;

// 10 environments with 100 applications each, and as many keys in every one as it takes.
std::vector<PlannedTarget> Targets(int64_t count) {
  std::vector<PlannedTarget> targets;
  for (int64_t i = 0; i < count; ++i) {
    targets.push_back({"", absl::StrCat("env-", i % 10, "/app-", i / 10 % 100, "/key-", i / 1000), kBytes, false});
  }
  return targets;
}

void PlanTargets(benchmark::State& state) {
  const std::vector<PlannedTarget> targets = Targets(state.range(0));
  PlannerOptions options;
  options.queries = kQueries;
  for (auto _ : state) benchmark::DoNotOptimize(MakePlan(targets, {}, options));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PlanTargets)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace meshgate::consul
