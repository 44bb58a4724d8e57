#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/agent_kv.h"
#include "tests/bench/probes.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/readers.h"
#include "tests/bench/stats.h"
#include "tests/bench/workloads.h"
#include "tests/testing/certificates.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;

// What must hold.
constexpr int kMaxConnections = 170;
constexpr double kMaxSlowdown = 10;
constexpr double kMaxIdleCpu = 0.05;

// Every key is the only one of its stream; a tenth of them stand where no other key is.
constexpr int kFolders = 100;
constexpr char kProbeKey[] = "probe/key";

std::string KeyAt(int i) { return absl::StrCat("bench/", i % kFolders, "/key-", i); }

// A table of two columns, and the verdicts.
class Report {
 public:
  template <typename... Args>
  void Line(const char* what, const absl::FormatSpec<Args...>& format, const Args&... args) {
    std::printf("%-44s %s\n", what, absl::StrFormat(format, args...).c_str());
    std::fflush(stdout);
  }
  void Check(bool held, const std::string& what) {
    std::printf("%-6s %s\n", held ? "ok" : "FAILED", what.c_str());
    passed_ = passed_ && held;
  }
  bool passed() const { return passed_; }

 private:
  bool passed_ = true;
};

std::string Latency(const std::vector<double>& ms) {
  return absl::StrFormat("%.1f / %.1f / %.1f ms (%d)", Quantile(ms, 0.5), Quantile(ms, 0.99), Quantile(ms, 1),
                         ms.size());
}

class Measurement {
 public:
  explicit Measurement(const Config& config)
      : keys_(config.Or(config.keys, 10000, 60)),
        absent_(config.absent >= 0 ? std::min(config.absent, keys_) : keys_ / 10),
        channels_(config.Or(config.channels, 100, 4)),
        write_rate_(config.Or(config.write_rate, 500, 200)),
        idle_(absl::Seconds(config.Or(config.idle_seconds, 20, 1))),
        patience_(absl::Seconds(config.Or(config.patience_seconds, 300, 60))),
        tls_(config.tls),
        quick_(config.quick) {}

  bool Run() {
    std::printf("many_keys: %d keys, %d of them absent, as many streams on %d connections, Consul over %s\n", keys_,
                absent_, channels_, tls_ ? "HTTPS" : "plain HTTP");
    if (!StartServers()) return false;
    const Probes::Result idle = Probe(idle_);
    ConnectionSampler connections(port_);
    Readers readers;
    Probes busy(gateway_->grpc_address(), kProbeKey, kProbeRate);
    const bool opened = Subscribe(&readers);
    Probes::Result opening = busy.Stop();
    if (!opened) {
      report_.Check(false, absl::StrFormat("every stream has its first state: %d of %d have", readers.opened(), keys_));
    }
    const double idle_cpu = IdleCpu();
    const Probes::Result changing = Change(&readers, opened);
    report_.Line("most connections, with those closed but held", "%d, %d", connections.most(), connections.most_held());
    report_.Line("resident, MB", "%.0f", static_cast<double>(ResidentBytes(gateway_->process().pid())) / 1e6);
    report_.Line("blocking queries: key, prefix", "%.0f, %.0f",
                 gateway_->Metric(R"(meshgate_upstream_watches{kind="key"})").value_or(0),
                 gateway_->Metric(R"(meshgate_upstream_watches{kind="prefix"})").value_or(0));
    std::printf("plain calls, p50 / p99 / most (calls):\n");
    report_.Line("  Register, no streams", "%s", Latency(idle.registers));
    report_.Line("  Register, while streams open", "%s", Latency(opening.registers));
    report_.Line("  Register, while keys change", "%s", Latency(changing.registers));
    report_.Line("  GetConfig from Consul, no streams", "%s", Latency(idle.gets));
    report_.Line("  GetConfig from Consul, while streams open", "%s", Latency(opening.gets));
    report_.Line("  GetConfig from Consul, while keys change", "%s", Latency(changing.gets));

    report_.Check(connections.most() <= kMaxConnections,
                  absl::StrFormat("at most %d connections to Consul", kMaxConnections));
    if (!quick_) {
      const double slowdown = Quantile(changing.registers, 0.99) / std::max(Quantile(idle.registers, 0.99), 1e-3);
      report_.Check(slowdown < kMaxSlowdown,
                    absl::StrFormat("p99 of Register while keys change is %.1f times that without streams, less than "
                                    "%.0f times",
                                    slowdown, kMaxSlowdown));
      report_.Check(idle_cpu < kMaxIdleCpu, absl::StrFormat("idle, less than %.0f %% of a core", 100 * kMaxIdleCpu));
    }
    report_.Check(idle.failed + opening.failed + changing.failed == 0, "no plain call failed");
    report_.Check(readers.ended() == 0, "no stream ended");
    return report_.passed();
  }

 private:
  static constexpr int kProbeRate = 50;  // of each kind, a second

  bool StartServers() {
    ConsulAgent::Options options;
    std::vector<std::string> flags = {"--backend=consul", "--log_level=warn"};
    if (tls_) {
      const auto certificates = testing::MakeCertificates(getenv("TEST_TMPDIR"));
      if (!certificates.has_value()) return false;
      port_ = testing::FreePorts(1)[0];
      options.hcl = testing::HttpsOf(*certificates, port_);
      flags.push_back(absl::StrCat("--consul_address=https://127.0.0.1:", port_));
      flags.push_back("--consul_ca_file=" + certificates->ca_file);
    }
    agent_ = std::make_unique<ConsulAgent>(options);
    if (!agent_->ready()) return false;
    if (!tls_) {
      port_ = agent_->http_port();
      flags.push_back("--consul_address=" + agent_->url());
    }
    kv_ = std::make_unique<AgentKv>(agent_->url());
    // The absent ones are spread among the others.
    for (int i = 0; i < keys_; ++i) order_.push_back(i);
    std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
    std::vector<std::string> present = {kProbeKey};
    for (int i = absent_; i < keys_; ++i) present.push_back(KeyAt(order_[static_cast<size_t>(i)]));
    if (!kv_->PutAll(present, Stamp(0))) return false;
    gateway_ = std::make_unique<GatewayProcess>(flags);
    return gateway_->listening();
  }

  Probes::Result Probe(absl::Duration for_so_long) {
    Probes probes(gateway_->grpc_address(), kProbeKey, kProbeRate);
    absl::SleepFor(for_so_long);
    return probes.Stop();
  }

  bool Subscribe(Readers* readers) {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < channels_; ++i) channels.push_back(Connect(gateway_->grpc_address()));
    std::vector<v1::WatchConfigRequest> requests(static_cast<size_t>(keys_));
    for (int i = 0; i < keys_; ++i) requests[static_cast<size_t>(i)].set_key(KeyAt(i));
    const absl::Time begin = absl::Now();
    readers->Open(channels, requests);
    const bool opened = readers->WaitOpen(patience_);
    report_.Line("until every stream has its first state", "%.1f s (%d of %d)",
                 absl::ToDoubleSeconds(absl::Now() - begin), readers->opened(), keys_);
    return opened;
  }

  // Of a core, with all streams open and nothing changing.
  double IdleCpu() {
    // What opening them has begun comes to its end.
    absl::SleepFor(idle_ / 4);
    const pid_t pid = gateway_->process().pid();
    const absl::Duration before = CpuTime(pid);
    const absl::Time begin = absl::Now();
    absl::SleepFor(idle_);
    const double share = absl::FDivDuration(CpuTime(pid) - before, absl::Now() - begin);
    report_.Line("CPU with nothing to do, % of a core", "%.1f (over %.0f s)", 100 * share,
                 absl::ToDoubleSeconds(idle_));
    return share;
  }

  // Each key once, at a bounded rate, in an order of no meaning; the absent ones come into being.
  Probes::Result Change(Readers* readers, bool all_open) {
    readers->TakeLatencies();
    std::shuffle(order_.begin(), order_.end(), std::mt19937(2));
    Probes probes(gateway_->grpc_address(), kProbeKey, kProbeRate);
    const auto begin = std::chrono::steady_clock::now();
    int written = 0;
    for (int i = 0; i < keys_; ++i) {
      std::this_thread::sleep_until(begin + std::chrono::microseconds(int64_t{1'000'000} * i / write_rate_));
      if (kv_->Put(KeyAt(order_[static_cast<size_t>(i)]), Stamp(1))) ++written;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    // Where not all are open no wait makes them arrive.
    const bool delivered = readers->WaitFor(1, all_open ? patience_ : absl::Seconds(5));
    Probes::Result result = probes.Stop();
    report_.Line("changes written at the agent", "%d in %.1f s (%.0f a second)", written, took.count(),
                 written / took.count());
    report_.Line("change to reader, p50 / p99 / most", "%s", Latency(readers->TakeLatencies()));
    report_.Check(written == keys_ && delivered,
                  absl::StrFormat("every change arrives: %d of %d have", readers->reached(1), keys_));
    return result;
  }

  const int keys_, absent_, channels_, write_rate_;
  const absl::Duration idle_, patience_;
  const bool tls_;
  const bool quick_;  // Too short for times to mean anything.

  Report report_;
  uint16_t port_ = 0;
  std::unique_ptr<ConsulAgent> agent_;
  std::unique_ptr<AgentKv> kv_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::vector<int> order_;
};

}  // namespace

bool ManyKeys(const Config& config) { return Measurement(config).Run(); }

}  // namespace meshgate::bench
