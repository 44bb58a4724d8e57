#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/bench/load/http2_channel.h"
#include "tests/bench/load/request_headers.h"
#include "tests/bench/load/stamp.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/readers.h"
#include "tests/bench/stats.h"
#include "tests/bench/workloads.h"
#include "tests/testing/gateway_process.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::GatewayProcess;

constexpr char kKey[] = "bench/key";
constexpr int kPerConnection = 100;

// A gateway that does next to nothing for so long is at rest.
constexpr absl::Duration kRest = absl::Milliseconds(200);

// What a watcher knows across its streams.
struct Watcher {
  uint64_t change = 0;
  std::string resume_token;
};

// Watchers that come all at once, each on a stream of its own.
class Crowd {
 public:
  Crowd(const std::string& address, std::vector<Watcher>* watchers)
      : address_(address),
        watchers_(watchers),
        headers_(MakeRequestHeaders("/meshgate.v1.ConfigService/WatchConfig")) {}

  // Returns milliseconds from the first connection on until each has `change`, by watcher.
  std::optional<std::vector<double>> Come(bool resume, uint64_t change, absl::Duration patience) {
    expected_ = change;
    const int64_t begun = SteadyNanos();
    begun_ = begun;
    for (size_t i = 0; i < watchers_->size(); ++i) {
      if (i % kPerConnection == 0) connections_.push_back(std::make_unique<Connection>(this));
      if (!connections_.back()->connected()) return std::nullopt;
      v1::WatchConfigRequest request;
      request.set_key(kKey);
      if (resume) request.set_resume_token((*watchers_)[i].resume_token);
      connections_.back()->Watch(static_cast<int>(i), request.SerializeAsString());
    }
    const auto there = [&] { return latencies_.size() == watchers_->size() || !failure_.empty(); };
    if (!loop_.RunUntil(there, patience) || !failure_.empty()) {
      std::fprintf(stderr, "%zu of %zu watchers have change %d %s\n", latencies_.size(), watchers_->size(),
                   static_cast<int>(change), failure_.c_str());
      return std::nullopt;
    }
    return latencies_;
  }

  int snapshots() const { return snapshots_; }

 private:
  class Connection final : public ChannelListener {
   public:
    explicit Connection(Crowd* crowd) : crowd_(crowd) {
      if (const int fd = ConnectTo(crowd->address_); fd >= 0) {
        channel_ = std::make_unique<Http2Channel>(&crowd->loop_, fd, &crowd->headers_, /*half_close=*/true, this);
      }
    }
    bool connected() const { return channel_ != nullptr; }
    void Watch(int watcher, const std::string& request) { channel_->Call(watcher, request); }

   private:
    void OnMessage(int watcher, std::string_view message) override { crowd_->OnMessage(watcher, message); }
    void OnEnd(int, bool) override { OnFailure("a stream has ended"); }
    void OnFailure(const std::string& what) override { crowd_->failure_ = what; }

    Crowd* const crowd_;
    std::unique_ptr<Channel> channel_;
  };

  void OnMessage(int index, std::string_view message) {
    v1::WatchConfigResponse response;
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) failure_ = "it does not parse";
    Watcher& watcher = (*watchers_)[static_cast<size_t>(index)];
    watcher.resume_token = response.resume_token();
    if (response.snapshot()) ++snapshots_;
    const uint64_t change = FindStamp(message).value_or(0);
    if (change < watcher.change) failure_ = "a watcher was led back";
    watcher.change = change;
    if (change == expected_) latencies_.push_back(static_cast<double>(SteadyNanos() - begun_) / 1e6);
  }

  const std::string address_;
  std::vector<Watcher>* const watchers_;
  const RequestHeaders headers_;
  Loop loop_;
  std::vector<std::unique_ptr<Connection>> connections_;
  uint64_t expected_ = 0;
  int64_t begun_ = 0;
  std::vector<double> latencies_;
  int snapshots_ = 0;
  std::string failure_;
};

struct Figures {
  std::vector<double> to_last, p99, cpu;
  int snapshots = 0;

  void Print(const char* what) const {
    std::printf("%-40s %11.1f %11.1f %14.1f %10d\n", what, Quantile(to_last, 0.5), Quantile(p99, 0.5),
                Quantile(cpu, 0.5), snapshots);
  }
};

bool Measure(GatewayProcess* gateway, bool resume, uint64_t change, absl::Duration patience,
             std::vector<Watcher>* watchers, Figures* figures) {
  // What is left of the crowd before is no part of this one.
  absl::Duration busy;
  Loop loop;
  do {
    busy = CpuTime(gateway->process().pid());
    loop.RunFor(kRest);
    busy = CpuTime(gateway->process().pid()) - busy;
  } while (busy > kRest / 20);
  Crowd crowd(gateway->grpc_address(), watchers);
  const absl::Duration before = CpuTime(gateway->process().pid());
  const auto latencies = crowd.Come(resume, change, patience);
  if (!latencies.has_value()) return false;
  const absl::Duration cpu = CpuTime(gateway->process().pid()) - before;
  figures->to_last.push_back(latencies->back());
  figures->p99.push_back(Quantile(*latencies, 0.99));
  figures->cpu.push_back(absl::ToDoubleMicroseconds(cpu) / static_cast<double>(watchers->size()));
  figures->snapshots += crowd.snapshots();
  return true;
}

}  // namespace

bool Reconnect(const Config& config) {
  const int streams = config.Or(config.streams, 10'000, 200);
  const int runs = config.Or(config.runs, 5, 2);
  const auto bytes = static_cast<size_t>(config.Or(config.value_bytes, 1024, 1024));
  const absl::Duration patience = absl::Seconds(config.Or(config.patience_seconds, 60, 30));
  GatewayProcess gateway({"--log_level=warn"});
  if (!gateway.listening()) return false;
  const auto writer = v1::ConfigService::NewStub(Connect(gateway.grpc_address()));
  std::vector<Watcher> watchers(static_cast<size_t>(streams));
  Figures first, again;
  uint64_t change = 0;
  for (int run = 0; run < runs; ++run) {
    if (!PutStamped(writer.get(), kKey, ++change, bytes)) return false;
    if (!Measure(&gateway, /*resume=*/false, change, patience, &watchers, &first)) return false;
    // While they are away.
    if (!PutStamped(writer.get(), kKey, ++change, bytes)) return false;
    if (!Measure(&gateway, /*resume=*/true, change, patience, &watchers, &again)) return false;
  }
  std::printf("reconnect: %d streams at once, %d on a connection, %zu bytes; medians of %d runs\n", streams,
              kPerConnection, bytes, runs);
  std::printf("%-40s %11s %11s %14s %10s\n", "", "to last, ms", "p99, ms", "CPU, us/stream", "snapshots");
  first.Print("without a token");
  again.Print("with one, after a change");
  const bool held = again.snapshots == 0 && first.snapshots == streams * runs;
  std::printf("%s: with a token each gets the change alone\n", held ? "ok" : "FAILED");
  return held;
}

}  // namespace meshgate::bench
