// Measures the gateway as it is built: see docs/performance.md.
//
//   bench [WORKLOAD ...] [--only=PATTERN] [--servers=PATTERN] [--quick] [--NAME=VALUE ...]
//
// Without a workload's name: all of them. Needs the servers below the working directory (Bazel's runfiles), consul and
// etcd in PATH for what they are compared in, and a scratch folder in TEST_TMPDIR. Exits with 0 where what is checked
// was so, with 1 where not, with 2 for a wrong argument.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "tests/bench/compare/compare.h"
#include "tests/bench/workloads.h"

namespace meshgate::bench {
namespace {

// Those that print a table of their own.
const std::map<std::string, bool (*)(const Config&)>& Workloads() {
  static const auto& workloads = *new std::map<std::string, bool (*)(const Config&)>{
      {"slow_reader", &SlowReader}, {"many_keys", &ManyKeys},       {"stream_cost", &StreamCost},
      {"floods", &Floods},          {"http_streams", &HttpStreams}, {"reconnect", &Reconnect}};
  return workloads;
}

bool SetNumber(absl::string_view argument, Config* config) {
  const std::pair<const char*, int Config::*> numbers[] = {{"runs", &Config::runs},
                                                           {"streams", &Config::streams},
                                                           {"keys", &Config::keys},
                                                           {"absent", &Config::absent},
                                                           {"channels", &Config::channels},
                                                           {"pairs", &Config::pairs},
                                                           {"changes", &Config::changes},
                                                           {"value_bytes", &Config::value_bytes},
                                                           {"write_rate", &Config::write_rate},
                                                           {"seconds", &Config::seconds},
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

// All of them, in the order in which they run.
std::vector<std::string> AllNames() {
  std::vector<std::string> names;
  for (const auto& [name, run] : Workloads()) names.push_back(name);
  names.insert(names.end(), ComparedWorkloads().begin(), ComparedWorkloads().end());
  return names;
}

// Those that are named, or all; of them those that the pattern matches.
std::vector<std::string> Selected(const std::vector<std::string>& named, const std::string& only) {
  const std::regex pattern(only);
  std::vector<std::string> selected;
  for (const std::string& name : AllNames()) {
    const bool wanted = named.empty() || std::find(named.begin(), named.end(), name) != named.end();
    if (wanted && std::regex_search(name, pattern)) selected.push_back(name);
  }
  return selected;
}

bool Run(const Config& config, const std::vector<std::string>& names) {
  bool passed = true;
  bool compares = false;
  for (const std::string& name : names) {
    const auto workload = Workloads().find(name);
    compares = compares || workload == Workloads().end();
    if (workload != Workloads().end()) passed = workload->second(config) && passed;
  }
  // One table for all that is compared.
  if (compares) passed = Compare(config, names) && passed;
  return passed;
}

int Main(const std::vector<std::string>& arguments) {
  Config config;
  std::vector<std::string> named;
  std::string only;
  const std::vector<std::string> all = AllNames();
  for (const std::string& argument : arguments) {
    if (argument == "--quick") {
      config.quick = true;
    } else if (argument == "--tls") {
      config.tls = true;
    } else if (absl::StartsWith(argument, "--only=")) {
      only = argument.substr(std::string("--only=").size());
    } else if (absl::StartsWith(argument, "--servers=")) {
      config.servers = argument.substr(std::string("--servers=").size());
    } else if (absl::StartsWith(argument, "--flood=")) {
      config.flood = argument.substr(std::string("--flood=").size());
    } else if (std::find(all.begin(), all.end(), argument) != all.end()) {
      named.push_back(argument);
    } else if (!SetNumber(argument, &config)) {
      std::fprintf(stderr, "bench: %s is not understood; docs/performance.md says what is\n", argument.c_str());
      return 2;
    }
  }
  if (std::getenv("TEST_TMPDIR") == nullptr) {
    std::fprintf(stderr, "bench: TEST_TMPDIR is not set; tests/bench/run.sh does that\n");
    return 2;
  }
  const std::vector<std::string> names = Selected(named, only);
  if (names.empty()) {
    std::fprintf(stderr, "bench: no workload's name matches '%s'\n", only.c_str());
    return 2;
  }
  // Connections are files, here as in the gateway.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  // OpenSSL writes to sockets that a server has closed.
  signal(SIGPIPE, SIG_IGN);
  return Run(config, names) ? 0 : 1;
}

}  // namespace
}  // namespace meshgate::bench

int main(int argc, char** argv) { return meshgate::bench::Main(std::vector<std::string>(argv + 1, argv + argc)); }
