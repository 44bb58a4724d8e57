#include "tests/fault/matrix.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace meshgate::fault {
namespace {

std::vector<Row>& Rows() {
  static auto* const rows = new std::vector<Row>();
  return *rows;
}

}  // namespace

bool IsFull() {
  const char* extent = std::getenv("MESHGATE_FAULT_MATRIX");
  return extent != nullptr && std::string_view(extent) == "full";
}

void AddRow(Row row) { Rows().push_back(std::move(row)); }

void PrintTable() {
  std::printf("%-64s %12s %10s %10s %9s\n", "fault", "acknowledged", "deliveries", "violations", "converged");
  Row sum;
  for (const Row& row : Rows()) {
    std::printf("%-64s %12lld %10lld %10lld %7.2f s\n", row.fault.c_str(), static_cast<long long>(row.acknowledged),
                static_cast<long long>(row.delivered), static_cast<long long>(row.violations),
                absl::ToDoubleSeconds(row.converged));
    sum.acknowledged += row.acknowledged;
    sum.delivered += row.delivered;
    sum.violations += row.violations;
    sum.converged = std::max(sum.converged, row.converged);
  }
  std::printf("%-64s %12lld %10lld %10lld %7.2f s\n", "all", static_cast<long long>(sum.acknowledged),
              static_cast<long long>(sum.delivered), static_cast<long long>(sum.violations),
              absl::ToDoubleSeconds(sum.converged));
  std::fflush(stdout);
}

}  // namespace meshgate::fault
