#include "tests/bench/compare/ratios.h"

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/bench/compare/compared_workloads.h"

namespace meshgate::bench {
namespace {

struct Row {
  std::string section;
  const char* figure;
  // Calls a second, in which more is better; the least is in all others.
  bool more_is_better;
};

std::vector<Row> Rows() {
  std::vector<Row> rows;
  for (const int shape : kFanOutShapes) {
    for (const char* figure : {figures::kCpuPerDelivery, figures::kP50, figures::kP99, figures::kMemoryPerStream}) {
      rows.push_back({FanOutSection(shape), figure, false});
    }
  }
  for (const char* section : {kUnarySection, kDiscoverSection}) {
    rows.push_back({section, figures::kReads, true});
    rows.push_back({section, figures::kP99, false});
    rows.push_back({section, figures::kCpuPerCall, false});
  }
  return rows;
}

constexpr const char* kOthers[] = {peers::kEtcd, peers::kEtcdProxy, peers::kConsul, peers::kGrpcCallback};

void PrintCell(std::optional<double> better, std::optional<double> worse) {
  const bool both = better.has_value() && worse.has_value() && *better > 0;
  std::printf(" %16s", both ? absl::StrFormat("%.2f", *worse / *better).c_str() : "-");
}

void PrintRow(const Results& results, const Row& row) {
  const auto of = [&](const char* peer) { return results.Median(row.section, peer, row.figure); };
  const auto meshgate = of(peers::kMeshgate);
  if (!meshgate.has_value()) return;
  std::printf("%-30s %-20s", row.section.c_str(), row.figure);
  for (const char* other : kOthers) {
    row.more_is_better ? PrintCell(of(other), meshgate) : PrintCell(meshgate, of(other));
  }
  row.more_is_better ? PrintCell(meshgate, of(peers::kFloor)) : PrintCell(of(peers::kFloor), meshgate);
  std::printf("\n");
}

}  // namespace

void PrintRatios(const Results& results) {
  std::printf("\nratios of the medians: how many times better meshgate is than each, and worse than the floor\n%-51s",
              "");
  for (const char* other : kOthers) std::printf(" %16s", other);
  std::printf(" %16s\n", peers::kFloor);
  for (const Row& row : Rows()) PrintRow(results, row);
  const auto last = results.Median(kPropagationSection, kThroughGateway, figures::kToLast);
  const auto alone = results.Median(kPropagationSection, kAlone, figures::kToLast);
  if (last.has_value() && alone.has_value()) {
    std::printf("propagation: the last of meshgate's streams has a change %.2f ms after a blocking query alone\n",
                *last - *alone);
  }
  std::fflush(stdout);
}

}  // namespace meshgate::bench
