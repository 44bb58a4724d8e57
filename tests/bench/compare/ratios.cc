#include "tests/bench/compare/ratios.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "tests/bench/compare/compared_workloads.h"

namespace meshgate::bench {
namespace {

struct Ratio {
  std::string section;
  const char* figure;
  const char* above;
  const char* below;
};

std::vector<Ratio> Ratios() {
  std::vector<Ratio> ratios;
  for (const int shape : kFanOutShapes) {
    const std::string section = FanOutSection(shape);
    for (const char* peer : {peers::kEtcd, peers::kEtcdProxy, peers::kConsul, peers::kGrpcCallback}) {
      for (const char* figure : {figures::kCpuPerDelivery, figures::kP50, figures::kP99, figures::kMemoryPerStream}) {
        ratios.push_back({section, figure, peer, peers::kMeshgate});
      }
    }
    for (const char* figure : {figures::kCpuPerDelivery, figures::kP99, figures::kMemoryPerStream}) {
      ratios.push_back({section, figure, peers::kMeshgate, peers::kFloor});
    }
  }
  for (const char* peer : {peers::kEtcd, peers::kEtcdProxy, peers::kConsul, peers::kGrpcCallback, peers::kFloor}) {
    ratios.push_back({kUnarySection, figures::kReads, peers::kMeshgate, peer});
  }
  for (const char* peer : {peers::kEtcd, peers::kGrpcCallback}) {
    ratios.push_back({kUnarySection, figures::kP99, peer, peers::kMeshgate});
    ratios.push_back({kUnarySection, figures::kCpuPerCall, peer, peers::kMeshgate});
  }
  ratios.push_back({kDiscoverSection, figures::kReads, peers::kMeshgate, peers::kConsul});
  ratios.push_back({kDiscoverSection, figures::kP99, peers::kConsul, peers::kMeshgate});
  return ratios;
}

}  // namespace

void PrintRatios(const Results& results) {
  std::printf("\nratios of the medians\n");
  for (const Ratio& ratio : Ratios()) {
    const auto above = results.Median(ratio.section, ratio.above, ratio.figure);
    const auto below = results.Median(ratio.section, ratio.below, ratio.figure);
    if (!above.has_value() || !below.has_value()) continue;
    std::printf("%-32s %-20s %-28s %8.2f\n", ratio.section.c_str(), ratio.figure,
                absl::StrCat(ratio.above, " / ", ratio.below).c_str(), *above / *below);
  }
  const auto last = results.Median(kPropagationSection, kThroughGateway, figures::kToLast);
  const auto alone = results.Median(kPropagationSection, kAlone, figures::kToLast);
  if (last.has_value() && alone.has_value()) {
    std::printf("%-32s %-20s %-28s %+8.2f\n", "propagation", "difference, ms", "the last - a query alone",
                *last - *alone);
  }
  std::fflush(stdout);
}

}  // namespace meshgate::bench
