#include "tests/bench/compare/compared_workloads.h"
#include "tests/bench/compare/processes.h"
#include "tests/bench/compare/watch_load.h"
#include "tests/bench/compare/writer.h"
#include "tests/bench/stats.h"

namespace meshgate::bench {
namespace {

constexpr int kPerConnection = 100;

absl::Status Measure(const std::string& name, Peer& peer, Round* round) {
  const Config& config = round->config();
  const int streams = config.Or(config.streams, 100000, 1000);
  Loop loop;
  Writer writer(&loop, &peer, config.Or(config.value_bytes, 1024, 1024));
  if (auto written = writer.Write(1, round->patience()); !written.ok()) return written;
  WatchLoad load(&loop, &peer);
  const double before = RestingKib(&loop, peer);
  if (auto opened = load.Open(streams, kPerConnection, round->patience()); !opened.ok()) return opened;
  const double after = RestingKib(&loop, peer);

  absl::Duration cpu = CpuTime(peer);
  const int64_t begin = SteadyNanos();
  loop.RunFor(absl::Seconds(config.Or(config.idle_seconds, 10, 1)));
  cpu = CpuTime(peer) - cpu;
  const absl::Duration idle = absl::Nanoseconds(SteadyNanos() - begin);

  load.Expect(2);
  writer.Begin(2);
  if (auto reached = load.WaitForAll(round->patience()); !reached.ok()) return reached;
  const std::vector<double> latencies = load.TakeLatencies();
  round->Add(kIdleSection, name, figures::kMemoryPerStream, (after - before) / streams);
  round->Add(kIdleSection, name, figures::kIdleCpu, 100 * absl::FDivDuration(cpu, idle));
  round->Add(kIdleSection, name, figures::kP50, Quantile(latencies, 0.5));
  round->Add(kIdleSection, name, figures::kP99, Quantile(latencies, 0.99));
  return absl::OkStatus();
}

}  // namespace

void Idle(Round* round) {
  round->ForEach(kIdleSection, {{peers::kMeshgate, &MakeMeshgate}},
                 [&](const std::string& name, Peer& peer) { return Measure(name, peer, round); });
}

}  // namespace meshgate::bench
