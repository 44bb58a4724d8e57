// Measures the gateway as it is built: see docs/performance.md.
//
//   bench slow_reader|many_keys|stream_cost [--quick] [--NAME=VALUE ...]
//   bench --quick                                 all of them, tiny: whether they work
//
// Needs server/meshgate in the working directory (Bazel's runfiles), consul in PATH for many_keys, and a scratch folder
// in TEST_TMPDIR. Exits with 0 where what is checked was so, with 1 where not, with 2 for a wrong argument.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "tests/bench/workloads.h"

namespace meshgate::bench {
namespace {

const std::map<std::string, bool (*)(const Config&)>& Workloads() {
  static const auto& workloads = *new std::map<std::string, bool (*)(const Config&)>{
      {"slow_reader", &SlowReader}, {"many_keys", &ManyKeys}, {"stream_cost", &StreamCost}};
  return workloads;
}

bool SetNumber(absl::string_view argument, Config* config) {
  const std::pair<const char*, int Config::*> numbers[] = {{"streams", &Config::streams},
                                                           {"keys", &Config::keys},
                                                           {"absent", &Config::absent},
                                                           {"channels", &Config::channels},
                                                           {"pairs", &Config::pairs},
                                                           {"changes", &Config::changes},
                                                           {"value_bytes", &Config::value_bytes},
                                                           {"write_rate", &Config::write_rate},
                                                           {"idle_seconds", &Config::idle_seconds},
                                                           {"patience_seconds", &Config::patience_seconds}};
  for (const auto& [name, member] : numbers) {
    absl::string_view rest = argument;
    if (!absl::ConsumePrefix(&rest, "--") || !absl::ConsumePrefix(&rest, name) || !absl::ConsumePrefix(&rest, "=")) {
      continue;
    }
    return absl::SimpleAtoi(rest, &(config->*member)) && config->*member >= 0;
  }
  return false;
}

int Main(const std::vector<std::string>& arguments) {
  Config config;
  std::vector<std::string> names;
  for (const std::string& argument : arguments) {
    if (argument == "--quick") {
      config.quick = true;
    } else if (argument == "--tls") {
      config.tls = true;
    } else if (Workloads().count(argument) > 0) {
      names.push_back(argument);
    } else if (!SetNumber(argument, &config)) {
      std::fprintf(stderr, "bench: %s is not understood; docs/performance.md says what is\n", argument.c_str());
      return 2;
    }
  }
  if (std::getenv("TEST_TMPDIR") == nullptr) {
    std::fprintf(stderr, "bench: TEST_TMPDIR is not set; tests/bench/run.sh does that\n");
    return 2;
  }
  if (names.empty() && !config.quick) {
    std::fprintf(stderr, "bench: name slow_reader, many_keys or stream_cost, or give --quick\n");
    return 2;
  }
  if (names.empty()) {
    for (const auto& [name, run] : Workloads()) names.push_back(name);
  }
  // Connections are files, here as in the gateway.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  bool passed = true;
  for (const std::string& name : names) passed = Workloads().at(name)(config) && passed;
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace meshgate::bench

int main(int argc, char** argv) { return meshgate::bench::Main(std::vector<std::string>(argv + 1, argv + argc)); }
