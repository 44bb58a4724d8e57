#include "tests/bench/compare/compared_workloads.h"
#include "tests/bench/compare/watch_load.h"
#include "tests/bench/compare/writer.h"
#include "tests/bench/stats.h"

namespace meshgate::bench {
namespace {

constexpr int kPerConnection = 100;
constexpr int kWarmUp = 3;
// Between changes: every query waits again, here and in the gateway.
constexpr absl::Duration kPause = absl::Milliseconds(100);

// Changes the key at Consul, again and again; `peer` has the streams.
absl::Status Measure(const std::string& name, const Peer& consul, const Peer& peer, int streams, uint64_t* change,
                     Round* round) {
  const Config& config = round->config();
  Loop loop;
  Writer writer(&loop, &consul, config.Or(config.value_bytes, 1024, 1024));
  if (auto written = writer.Write(++*change, round->patience()); !written.ok()) return written;
  WatchLoad load(&loop, &peer);
  if (auto opened = load.Open(streams, kPerConnection, round->patience()); !opened.ok()) return opened;
  std::vector<double> to_last;
  for (int i = -kWarmUp; i < config.Or(config.changes, 25, 3); ++i) {
    loop.RunFor(kPause);
    load.Expect(++*change);
    writer.Begin(*change);
    if (auto reached = load.WaitForAll(round->patience()); !reached.ok()) return reached;
    if (auto written = writer.Wait(round->patience()); !written.ok()) return written;
    if (i >= 0) to_last.push_back(load.last_latency());
  }
  round->Add(kPropagationSection, name, figures::kToLast, Median(to_last));
  round->Add(kPropagationSection, name, figures::kP99, Quantile(to_last, 0.99));
  return absl::OkStatus();
}

}  // namespace

void Propagation(Round* round) {
  const int streams = round->config().Or(round->config().streams, 10000, 200);
  auto consul = MakeConsulPeer();
  if (!consul.ok()) return round->Fail(kPropagationSection, peers::kConsul, consul.status());
  uint64_t change = 0;
  const auto measure = [&](const std::string& name, const Peer& peer, int count) {
    const auto measured = Measure(name, **consul, peer, count, &change, round);
    if (!measured.ok()) round->Fail(kPropagationSection, name, measured);
  };
  measure(kAlone, **consul, 1);
  auto gateway = MakeMeshgateWithConsul((*consul)->url());
  if (!gateway.ok()) return round->Fail(kPropagationSection, peers::kMeshgate, gateway.status());
  measure(kThroughGateway, **gateway, streams);
}

}  // namespace meshgate::bench
