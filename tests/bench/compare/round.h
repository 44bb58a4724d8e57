#ifndef MESHGATE_TESTS_BENCH_COMPARE_ROUND_H_
#define MESHGATE_TESTS_BENCH_COMPARE_ROUND_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/bench/compare/results.h"
#include "tests/bench/peers/peer.h"
#include "tests/bench/workloads.h"

namespace meshgate::bench {

struct Contender {
  const char* name;
  PeerFactory make;
};

// One of the runs that the medians are taken over. What each workload is given.
class Round {
 public:
  Round(const Config& config, int number, Results* results) : config_(config), number_(number), results_(results) {}

  const Config& config() const { return config_; }
  absl::Duration patience() const { return absl::Seconds(config_.Or(config_.patience_seconds, 60, 60)); }

  // Starts one after the other, measures it, and stops it. Each round begins with another one, so that a machine that
  // gets slower or faster does not favour any.
  void ForEach(const std::string& section, const std::vector<Contender>& contenders,
               absl::FunctionRef<absl::Status(const std::string& name, Peer& peer)> measure);

  void Add(const std::string& section, const std::string& peer, const std::string& figure, double value) {
    results_->Add(section, peer, figure, value);
  }

  // Says what went wrong, and that this was not all well.
  void Fail(const std::string& section, const std::string& peer, const absl::Status& status);
  bool passed() const { return passed_; }

 private:
  const Config& config_;
  const int number_;
  Results* const results_;
  bool passed_ = true;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_ROUND_H_
