#ifndef MESHGATE_TESTS_BENCH_STATS_H_
#define MESHGATE_TESTS_BENCH_STATS_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"

namespace meshgate::bench {

// Of `values`, the least that a fraction `q` of them does not exceed; 0 where there are none.
inline double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = q * static_cast<double>(values.size());
  size_t at = static_cast<size_t>(rank);
  if (static_cast<double>(at) == rank && at > 0) --at;
  return values[std::min(at, values.size() - 1)];
}

inline double Median(const std::vector<double>& values) { return Quantile(values, 0.5); }

// "12.3 (11.9 to 14.0)": the median and the spread.
inline std::string Spread(const std::vector<double>& values) {
  return absl::StrFormat("%.1f (%.1f to %.1f)", Median(values), Quantile(values, 0), Quantile(values, 1));
}

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_STATS_H_
