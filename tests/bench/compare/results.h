#ifndef MESHGATE_TESTS_BENCH_COMPARE_RESULTS_H_
#define MESHGATE_TESTS_BENCH_COMPARE_RESULTS_H_

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace meshgate::bench {

// What was measured, by section (a workload in one of its shapes), peer, and figure; one value for each run. Sections,
// peers and figures are shown in the order in which they came.
class Results {
 public:
  void Add(const std::string& section, const std::string& peer, const std::string& figure, double value);

  // Over the runs; nullopt where there is none.
  std::optional<double> Median(const std::string& section, const std::string& peer, const std::string& figure) const;

  // One table for each section: a row for each peer, "median (least to most)" for each figure.
  void Print() const;

 private:
  struct Section {
    std::string name;
    std::vector<std::string> peers, figures;
  };
  std::vector<Section> sections_;
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<double>> values_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_RESULTS_H_
