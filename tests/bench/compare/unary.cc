#include "tests/bench/compare/call_load.h"
#include "tests/bench/compare/compared_workloads.h"
#include "tests/bench/compare/writer.h"
#include "tests/bench/stats.h"

namespace meshgate::bench {
namespace {

constexpr int kConnections = 50;
constexpr int kInFlight = 4;  // on each
constexpr int kInstances = 10;

absl::Status Measure(const std::string& section, const std::string& name, const Peer& peer, Method method,
                     Round* round) {
  const Config& config = round->config();
  Loop loop;
  if (method == Method::kRead) {
    Writer writer(&loop, &peer, config.Or(config.value_bytes, 1024, 1024));
    if (auto written = writer.Write(1, round->patience()); !written.ok()) return written;
  }
  CallLoad load(&loop, &peer, method);
  const absl::Duration time = config.quick ? absl::Milliseconds(300) : absl::Seconds(config.Or(config.seconds, 5, 1));
  const auto result = load.Run(config.Or(config.channels, kConnections, kConnections), kInFlight, time);
  if (!result.ok()) return result.status();
  round->Add(section, name, figures::kReads, result->calls_per_second);
  round->Add(section, name, figures::kP50, Quantile(result->latencies, 0.5));
  round->Add(section, name, figures::kP99, Quantile(result->latencies, 0.99));
  round->Add(section, name, figures::kCpuPerCall, result->cpu_microseconds_per_call);
  return absl::OkStatus();
}

}  // namespace

void Unary(Round* round) {
  const std::vector<Contender> contenders = {{peers::kMeshgate, &MakeMeshgate},         {peers::kEtcd, &MakeEtcd},
                                             {peers::kEtcdProxy, &MakeEtcdProxy},       {peers::kConsul, &MakeConsul},
                                             {peers::kGrpcCallback, &MakeGrpcCallback}, {peers::kFloor, &MakeFloor}};
  round->ForEach(kUnarySection, contenders, [&](const std::string& name, Peer& peer) {
    return Measure(kUnarySection, name, peer, Method::kRead, round);
  });
}

void Discover(Round* round) {
  auto consul = MakeConsulPeer();
  if (!consul.ok()) return round->Fail(kDiscoverSection, peers::kConsul, consul.status());
  if (auto registered = (*consul)->Register(kInstances); !registered.ok()) {
    return round->Fail(kDiscoverSection, peers::kConsul, registered);
  }
  const auto measure = [&](const std::string& name, const Peer& peer) {
    const auto measured = Measure(kDiscoverSection, name, peer, Method::kDiscover, round);
    if (!measured.ok()) round->Fail(kDiscoverSection, name, measured);
  };
  // Consul alone first: the gateway's watches would be its load, too, however small.
  measure(peers::kConsul, **consul);
  auto gateway = MakeMeshgateWithConsul((*consul)->url());
  if (!gateway.ok()) return round->Fail(kDiscoverSection, peers::kMeshgate, gateway.status());
  measure(peers::kMeshgate, **gateway);
}

}  // namespace meshgate::bench
