#include "tests/bench/floods/floods.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tests/bench/floods/bystanders.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/readers.h"
#include "tests/bench/stats.h"
#include "tests/bench/workloads.h"
#include "tests/testing/certificates.h"
#include "tests/testing/gateway_process.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::Certificates;
using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::GatewayProcess;

// What must hold.
constexpr double kMaxGrowthMib = 64;
constexpr double kMaxSlowdown = 3;
// Below it a p99 is the scheduler's rather than the gateway's.
constexpr double kLeastMs = 1;

constexpr size_t kQuietBytes = 1 << 10;
constexpr double kMib = 1 << 20;

struct Limits {
  absl::Duration idle;
  absl::Duration flood;
  int64_t frames;
  absl::Duration patience;
  Bystanders::Sizes bystanders;
};

struct Result {
  double growth_mib = 0;
  double idle_ms = 0;
  double flood_ms = 0;
  bool watchers_served = false;
  std::string failure;
};

// A gateway with a flood and its bystanders.
class Measurement {
 public:
  // With `tls`, if any, the gateway speaks TLS.
  Measurement(const Limits& limits, const std::optional<Certificates>& tls)
      : limits_(limits),
        gateway_(Flags(tls), Quiet()),
        bystanders_(gateway_.grpc_address(), tls.has_value(), kQuietKey, limits.bystanders) {
    if (tls.has_value()) gateway_.CallByTls(*tls, /*http=*/false);
  }

  Result Run(const Flood& flood, Attack* attack) {
    Result result;
    if (!Prepare()) {
      result.failure = bystanders_.failure().empty() ? "the gateway can't be prepared" : bystanders_.failure();
      return result;
    }
    result.idle_ms = Quantile(CallFor(limits_.idle), 0.99);
    const int64_t before = ResidentBytes(pid());
    ResetPeakResident(pid());
    result.flood_ms = Quantile(CallDuring(flood, attack), 0.99);
    result.growth_mib = std::max<double>(0, static_cast<double>(PeakResidentBytes(pid()) - before)) / kMib;
    result.watchers_served =
        bystanders_.failure().empty() && Put(kQuietKey, 2, kQuietBytes) && bystanders_.WaitFor(2, limits_.patience);
    result.failure = bystanders_.failure();
    return result;
  }

  const std::string& address() const { return gateway_.grpc_address(); }

 private:
  static std::vector<std::string> Flags(const std::optional<Certificates>& tls) {
    std::vector<std::string> flags = {"--log_level=error"};
    if (tls.has_value()) {
      flags.insert(flags.end(), {"--grpc_tls_cert_file=" + tls->cert_file, "--grpc_tls_key_file=" + tls->key_file});
    }
    return flags;
  }

  // A gateway says what it refuses, which here is most.
  static ChildProcess::Options Quiet() {
    ChildProcess::Options options;
    options.stderr_file = absl::StrCat(std::getenv("TEST_TMPDIR"), "/floods.log");
    return options;
  }

  bool Prepare() {
    if (!gateway_.listening()) return false;
    writer_ = v1::ConfigService::NewStub(gateway_.NewChannel());
    return Put(kQuietKey, 1, kQuietBytes) && Put(kFloodedKey, 1, kFloodedBytes) &&
           bystanders_.Open(1, limits_.patience);
  }

  bool Put(const std::string& key, uint64_t change, size_t bytes) {
    return PutStamped(writer_.get(), key, change, bytes);
  }

  std::vector<double> CallFor(absl::Duration time) {
    const absl::Time until = absl::Now() + time;
    return bystanders_.Call([&] { return absl::Now() >= until; }, limits_.patience);
  }

  std::vector<double> CallDuring(const Flood& flood, Attack* attack) {
    std::atomic<bool> over{false};
    std::thread attacker([&] {
      // An attacker has a machine of its own: here it has what the gateway and those who measure leave of this one.
      // Niceness would not do, Linux lets such a thread finish its turn of up to 3 ms.
      const sched_param none = {};
      if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) std::abort();
      attack->set_until(absl::Now() + limits_.flood);
      flood.run(attack);
      over = true;
    });
    std::vector<double> latencies = bystanders_.Call([&] { return over.load(); }, limits_.patience);
    attacker.join();
    return latencies;
  }

  pid_t pid() { return gateway_.process().pid(); }

  const Limits limits_;
  GatewayProcess gateway_;
  std::unique_ptr<v1::ConfigService::Stub> writer_;
  Bystanders bystanders_;
};

// `runs` times, for the medians of times: a machine that stands still for a moment says nothing of a flood. `judged`:
// the figures count, too.
bool Measure(const Flood& flood, const Limits& limits, const std::optional<Certificates>& tls, int runs, bool judged) {
  std::vector<double> idle, during, slowdowns;
  double growth = 0;
  bool watchers_served = true, all_ended = true;
  int connections = 0;
  int64_t frames = 0, most_before_end = 0;
  double mib = 0;
  std::string wrong;
  std::set<std::string> endings;
  for (int run = 0; run < runs && wrong.empty(); ++run) {
    auto measurement = std::make_unique<Measurement>(limits, tls);
    Attack attack(measurement->address(), tls.has_value(), limits.frames);
    const Result result = measurement->Run(flood, &attack);
    wrong = result.failure;
    idle.push_back(result.idle_ms);
    during.push_back(result.flood_ms);
    slowdowns.push_back(std::max(result.flood_ms, kLeastMs) / std::max(result.idle_ms, kLeastMs));
    growth = std::max(growth, result.growth_mib);
    watchers_served = watchers_served && result.watchers_served;
    all_ended = all_ended && attack.all_ended();
    connections = std::max(connections, attack.connections());
    frames = std::max(frames, attack.frames());
    most_before_end = std::max(most_before_end, attack.most_before_end());
    mib = std::max(mib, static_cast<double>(attack.bytes()) / kMib);
    endings.insert(attack.endings());
  }
  const auto check = [&](bool held, const char* what) {
    if (!held) absl::StrAppend(&wrong, wrong.empty() ? "" : "; ", what);
  };
  if (wrong.empty()) check(watchers_served, "watchers did not get a change afterwards");
  if (judged && wrong.empty()) {
    check(growth <= kMaxGrowthMib, "memory");
    check(Quantile(slowdowns, 0.5) <= kMaxSlowdown, "the others' p99");
    check(!flood.must_end || all_ended, "not ended");
  }
  const std::string before_end = most_before_end > 0 ? absl::StrCat(most_before_end) : "-";
  absl::PrintF("%-6s %-46s %6.1f %8.2f %8.2f %6.1f %6d %9d %7.1f %-7s %9s %s%s\n", wrong.empty() ? "ok" : "FAILED",
               flood.name, growth, Quantile(idle, 0.5), Quantile(during, 0.5), Quantile(slowdowns, 0.5), connections,
               frames, mib, flood.must_end ? "end" : "bounded", before_end, absl::StrJoin(endings, " / "),
               wrong.empty() ? "" : absl::StrCat("  (", wrong, ")"));
  std::fflush(stdout);
  return wrong.empty();
}

}  // namespace

bool Floods(const Config& config) {
  const Limits limits = {
      absl::Seconds(config.quick ? 0.2 : 1),
      config.seconds > 0 ? absl::Seconds(std::min(config.seconds, 5)) : absl::Seconds(config.quick ? 0.2 : 2),
      config.quick ? 20'000 : 1'000'000,
      absl::Seconds(config.Or(config.patience_seconds, 30, 30)),
      {config.quick ? 5 : 50, 1000, config.quick ? 10 : 100, 10},
  };
  const int runs = config.Or(config.runs, 3, 1);
  std::optional<Certificates> tls;
  if (config.tls) {
    tls = testing::MakeCertificates(std::getenv("TEST_TMPDIR"));
    if (!tls.has_value()) return false;
  }
  std::printf("floods%s: medians of %d runs; %d callers with %d calls a second of all, %d watchers\n",
              tls.has_value() ? " over TLS" : "", runs, limits.bystanders.callers, limits.bystanders.calls_per_second,
              limits.bystanders.streams);
  std::printf("%-6s %-46s %6s %8s %8s %6s %6s %9s %7s %-7s %9s %s\n", "", "", "MiB", "p99 idle", "p99 ms", "ratio",
              "conns", "frames", "MiB", "must", "ended at", "how");
  bool passed = true;
  for (const auto& list :
       {FrameFloods(), RequestFloods(), StreamFloods(), tls.has_value() ? TlsFloods() : std::vector<Flood>()}) {
    for (const Flood& flood : list) {
      if (!absl::StrContains(flood.name, config.flood)) continue;
      passed = Measure(flood, limits, tls, runs, !config.quick) && passed;
    }
  }
  return passed;
}

}  // namespace meshgate::bench
