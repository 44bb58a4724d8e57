#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/bench/compare/compared_workloads.h"
#include "tests/bench/compare/processes.h"
#include "tests/bench/compare/watch_load.h"
#include "tests/bench/compare/writer.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/stats.h"

namespace meshgate::bench {
namespace {

// Buffers find their size, garbage collectors their rhythm.
constexpr int kWarmUp = 5;
// A server may have work left when the last stream has its message.
constexpr absl::Duration kAfterwards = absl::Milliseconds(20);

struct Sizes {
  int streams, per_connection, changes, value_bytes;
};

absl::Status Measure(const Sizes& sizes, const std::string& section, const std::string& name, Peer& peer,
                     Round* round) {
  Loop loop;
  Writer writer(&loop, &peer, sizes.value_bytes);
  uint64_t change = 1;
  if (auto written = writer.Write(change, round->patience()); !written.ok()) return written;
  // What a server takes for its first stream, whatever comes after it.
  WatchLoad first(&loop, &peer);
  if (auto opened = first.Open(1, 1, round->patience()); !opened.ok()) return opened;
  const double before = RestingKib(&loop, peer);
  WatchLoad load(&loop, &peer);
  if (auto opened = load.Open(sizes.streams, sizes.per_connection, round->patience()); !opened.ok()) return opened;
  const double after = RestingKib(&loop, peer);

  absl::Duration cpu, own_cpu;
  for (int i = -kWarmUp; i < sizes.changes; ++i) {
    if (i == 0) {
      load.TakeLatencies();
      loop.RunFor(kAfterwards);
      cpu = CpuTime(peer);
      own_cpu = CpuTime(getpid());
    }
    // One at a time: what is measured is delivery, not a queue.
    load.Expect(++change);
    writer.Begin(change);
    if (auto reached = load.WaitForAll(round->patience()); !reached.ok()) return reached;
    if (auto written = writer.Wait(round->patience()); !written.ok()) return written;
  }
  loop.RunFor(kAfterwards);
  cpu = CpuTime(peer) - cpu;
  own_cpu = CpuTime(getpid()) - own_cpu;
  const std::vector<double> latencies = load.TakeLatencies();
  const auto deliveries = static_cast<double>(latencies.size());
  round->Add(section, name, figures::kCpuPerDelivery, absl::ToDoubleMicroseconds(cpu) / deliveries);
  round->Add(section, name, figures::kP50, Quantile(latencies, 0.5));
  round->Add(section, name, figures::kP99, Quantile(latencies, 0.99));
  round->Add(section, name, figures::kMemoryPerStream, (after - before) / sizes.streams);
  round->Add(section, name, figures::kClientCpu, absl::ToDoubleMicroseconds(own_cpu) / deliveries);
  return absl::OkStatus();
}

}  // namespace

std::string FanOutSection(int streams_per_connection) {
  return absl::StrCat("fan_out, ", streams_per_connection, " on a connection");
}

void FanOut(Round* round) {
  const Config& config = round->config();
  for (const int per_connection : kFanOutShapes) {
    const Sizes sizes{config.Or(config.streams, 10000, 200), per_connection, config.Or(config.changes, 25, 3),
                      config.Or(config.value_bytes, 1024, 1024)};
    std::vector<Contender> contenders = {
        {peers::kMeshgate, &MakeMeshgate},   {peers::kMeshgateTls, &MakeMeshgateTls},   {peers::kEtcd, &MakeEtcd},
        {peers::kEtcdProxy, &MakeEtcdProxy}, {peers::kGrpcCallback, &MakeGrpcCallback}, {peers::kFloor, &MakeFloor}};
    // Its queries have a connection each.
    if (per_connection == 1) contenders.push_back({peers::kConsul, &MakeConsul});
    const std::string section = FanOutSection(per_connection);
    round->ForEach(section, contenders,
                   [&](const std::string& name, Peer& peer) { return Measure(sizes, section, name, peer, round); });
  }
}

}  // namespace meshgate::bench
