#include "tests/bench/compare/round.h"

#include <cstdio>
#include <regex>
#include <string>

#include "absl/time/clock.h"

namespace meshgate::bench {

void Round::ForEach(const std::string& section, const std::vector<Contender>& contenders,
                    absl::FunctionRef<absl::Status(const std::string&, Peer&)> measure) {
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& contender = contenders[(i + static_cast<size_t>(number_)) % contenders.size()];
    if (!std::regex_search(contender.name, std::regex(config_.servers))) continue;
    const absl::Time begin = absl::Now();
    auto peer = contender.make();
    const absl::Status status = peer.ok() ? measure(contender.name, **peer) : peer.status();
    if (!status.ok()) {
      Fail(section, contender.name, status);
      continue;
    }
    std::fprintf(stderr, "run %d: %s: %s, %.1f s\n", number_ + 1, section.c_str(), contender.name,
                 absl::ToDoubleSeconds(absl::Now() - begin));
  }
}

void Round::Fail(const std::string& section, const std::string& peer, const absl::Status& status) {
  passed_ = false;
  std::printf("FAILED %s: %s: %s\n", section.c_str(), peer.c_str(), std::string(status.message()).c_str());
  std::fflush(stdout);
}

}  // namespace meshgate::bench
