#include <algorithm>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/readers.h"
#include "tests/bench/workloads.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/silent_reader.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::SilentReader;

constexpr size_t kSmall = 1 << 10;
constexpr size_t kLarge = 512 << 10;
// What HTTP/2 lets pass to a reader that does not read.
constexpr size_t kWindow = 64 << 10;

struct Scenario {
  const char* name;
  int streams;
  int streams_per_connection;
  size_t value_bytes;
  // Each stream watches a key of its own.
  bool own_keys;
  // The key changes between one stream and the next, so that each stalls on a state of its own.
  bool own_states;
  // Reads nothing; otherwise there is nothing to read after the first state.
  bool stalled;
};

class Gateway {
 public:
  Gateway() : process_({"--watch_write_timeout=1h", "--log_level=warn"}) {
    writer_ = v1::ConfigService::NewStub(Connect(process_.grpc_address()));
  }
  bool listening() const { return process_.listening(); }
  const std::string& address() const { return process_.grpc_address(); }

  bool Put(const std::string& key, size_t bytes) {
    grpc::ClientContext context;
    v1::PutConfigRequest put;
    put.set_key(key);
    put.set_value(Stamp(++changes_, bytes));
    v1::PutConfigResponse response;
    return writer_->PutConfig(&context, put, &response).ok();
  }

  // When it has come to rest.
  double ResidentKb() {
    const pid_t pid = process_.process().pid();
    absl::Duration before = CpuTime(pid);
    for (int i = 0; i < 100; ++i) {
      absl::SleepFor(absl::Milliseconds(200));
      const absl::Duration now = CpuTime(pid);
      if (now - before <= absl::Milliseconds(10)) break;
      before = now;
    }
    return static_cast<double>(ResidentBytes(pid)) / 1024;
  }

 private:
  GatewayProcess process_;
  std::unique_ptr<v1::ConfigService::Stub> writer_;
  uint64_t changes_ = 0;
};

bool Measure(const Scenario& scenario) {
  Gateway gateway;
  if (!gateway.listening()) return false;
  const auto key = [&](int i) { return absl::StrCat("bench/", scenario.own_keys ? i : 0); };
  const int keys = scenario.own_keys ? scenario.streams : 1;
  for (int i = 0; i < keys; ++i) {
    if (!gateway.Put(key(i), scenario.value_bytes)) return false;
  }
  // What a process takes for its first stream whatever comes after it.
  {
    v1::WatchConfigRequest request;
    request.set_key("other");
    SilentReader first(Connect(gateway.address()), request);
    if (!first.WaitOpen() || !first.Read().has_value()) return false;
  }
  const double empty = gateway.ResidentKb();

  std::vector<std::shared_ptr<grpc::Channel>> channels;
  const int connections = (scenario.streams - 1) / scenario.streams_per_connection + 1;
  for (int i = 0; i < connections; ++i) channels.push_back(Connect(gateway.address(), /*fixed_window=*/true));
  std::deque<SilentReader> readers;
  for (int i = 0; i < scenario.streams; ++i) {
    v1::WatchConfigRequest request;
    request.set_key(key(i));
    readers.emplace_back(channels[static_cast<size_t>(i % connections)], request);
    if (!readers.back().WaitOpen()) return false;
    if (!scenario.stalled && !readers.back().Read().has_value()) return false;
    if (scenario.own_states && !gateway.Put(key(i), scenario.value_bytes)) return false;
  }
  const auto change_all = [&](size_t times) {
    for (size_t t = 0; t < times; ++t) {
      for (int i = 0; i < keys; ++i) {
        if (!gateway.Put(key(i), scenario.value_bytes)) return false;
      }
    }
    return true;
  };
  // Twice what passes.
  if (scenario.stalled && !change_all(2 * kWindow / scenario.value_bytes)) return false;
  const double open = gateway.ResidentKb();
  std::string later = "-";
  if (scenario.stalled) {
    if (!change_all(std::max<size_t>(20 / static_cast<size_t>(keys), 2))) return false;
    later = absl::StrFormat("%.1f", (gateway.ResidentKb() - empty) / scenario.streams);
  }
  std::printf("%-52s %7d %11d %13.1f %15s\n", scenario.name, scenario.streams, connections,
              (open - empty) / scenario.streams, later.c_str());
  std::fflush(stdout);
  return true;
}

}  // namespace

bool StreamCost(const Config& config) {
  const int many = config.Or(config.streams, 2000, 20);
  const int few = std::max(many / 10, 10);
  const Scenario scenarios[] = {
      {"idle, 100 on a connection", many, 100, kSmall, false, false, false},
      {"idle, each on its own connection", many, 1, kSmall, false, false, false},
      {"idle, each with a key of its own", many, 100, kSmall, true, false, false},
      {"stalled on 1 KiB, 100 on a connection", many, 100, kSmall, false, false, true},
      {"stalled on 1 KiB, each on its own connection", many, 1, kSmall, false, false, true},
      {"stalled on 512 KiB, all the same state", many, 100, kLarge, false, false, true},
      {"stalled on 512 KiB, each on its own connection", many, 1, kLarge, false, false, true},
      {"stalled on 512 KiB, each on a state of its own", few, 100, kLarge, false, true, true},
      {"stalled on 512 KiB, each with a key of its own", few, 100, kLarge, true, false, true},
  };
  std::printf("stream_cost: resident memory of the gateway (embedded store), KiB a stream\n");
  std::printf("%-52s %7s %11s %13s %15s\n", "streams that are", "streams", "connections", "KiB a stream",
              "and 20 changes on");
  for (const Scenario& scenario : scenarios) {
    if (Measure(scenario)) continue;
    std::printf("FAILED: %s\n", scenario.name);
    return false;
  }
  return true;
}

}  // namespace meshgate::bench
