#include "tests/bench/compare/results.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "tests/bench/stats.h"

namespace meshgate::bench {
namespace {

void AddOnce(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

std::string Number(double value) { return absl::StrFormat("%.*f", value < 10 ? 2 : value < 1000 ? 1 : 0, value); }

}  // namespace

void Results::Add(const std::string& section, const std::string& peer, const std::string& figure, double value) {
  auto found = std::find_if(sections_.begin(), sections_.end(), [&](const Section& s) { return s.name == section; });
  if (found == sections_.end()) found = sections_.insert(found, Section{section, {}, {}});
  AddOnce(peer, &found->peers);
  AddOnce(figure, &found->figures);
  values_[{section, peer, figure}].push_back(value);
}

std::optional<double> Results::Median(const std::string& section, const std::string& peer,
                                      const std::string& figure) const {
  const auto found = values_.find({section, peer, figure});
  if (found == values_.end()) return std::nullopt;
  return bench::Median(found->second);
}

void Results::Print() const {
  for (const Section& section : sections_) {
    std::printf("\n%s\n%-16s", section.name.c_str(), "median (range)");
    for (const std::string& figure : section.figures) std::printf(" %23s", figure.c_str());
    std::printf("\n");
    for (const std::string& peer : section.peers) {
      std::printf("%-16s", peer.c_str());
      for (const std::string& figure : section.figures) {
        const auto found = values_.find({section.name, peer, figure});
        std::string cell = "-";
        if (found != values_.end()) {
          const std::vector<double>& values = found->second;
          cell = Number(bench::Median(values));
          if (values.size() > 1) cell += " (" + Number(Quantile(values, 0)) + "-" + Number(Quantile(values, 1)) + ")";
        }
        std::printf(" %23s", cell.c_str());
      }
      std::printf("\n");
    }
  }
  std::fflush(stdout);
}

}  // namespace meshgate::bench
