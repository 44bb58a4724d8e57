#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/readers.h"
#include "tests/bench/stats.h"
#include "tests/bench/workloads.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/silent_reader.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::SilentReader;

constexpr char kKey[] = "bench/key";

// What HTTP/2 lets pass before a reader stalls, one in flight, and the latest.
constexpr int kMaxLateMessages = 6;

struct Run {
  double p50 = 0, p99 = 0, resident_mb = 0;
  // What the slow reader got when it went on.
  int late_messages = 0;
};

struct Sizes {
  int streams, channels, changes, value_bytes;
  absl::Duration patience;
};

bool Put(v1::ConfigService::Stub* writer, const std::string& value) {
  grpc::ClientContext context;
  v1::PutConfigRequest put;
  put.set_key(kKey);
  put.set_value(value);
  v1::PutConfigResponse response;
  const grpc::Status status = writer->PutConfig(&context, put, &response);
  if (!status.ok()) std::fprintf(stderr, "PutConfig: %s\n", status.error_message().c_str());
  return status.ok();
}

// The reader goes on: what does it get until it is where the others are?
std::optional<int> CatchUp(SilentReader* reader, uint64_t change, absl::Duration patience) {
  const std::string latest = absl::StrFormat("%020d ", change);
  for (int messages = 1;; ++messages) {
    const auto response = reader->Read(patience);
    if (!response.has_value()) return std::nullopt;
    for (const auto& event : response->events()) {
      if (absl::StartsWith(event.entry().value(), latest)) return messages;
    }
  }
}

std::optional<Run> RunOnce(const Sizes& sizes, bool slow) {
  GatewayProcess gateway({"--watch_write_timeout=1h", "--log_level=warn"});
  if (!gateway.listening()) return std::nullopt;
  const auto writer = v1::ConfigService::NewStub(Connect(gateway.grpc_address()));
  if (!Put(writer.get(), Stamp(0, static_cast<size_t>(sizes.value_bytes)))) return std::nullopt;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  // The slow reader's connection, which others share, in both kinds of run alike: its first messages must stall.
  for (int i = 0; i < sizes.channels; ++i) channels.push_back(Connect(gateway.grpc_address(), i == 0));
  v1::WatchConfigRequest request;
  request.set_key(kKey);
  std::optional<SilentReader> silent;
  if (slow) {
    silent.emplace(channels[0], request);
    if (!silent->WaitOpen(sizes.patience)) return std::nullopt;
  }
  Readers readers;
  readers.Open(channels, std::vector<v1::WatchConfigRequest>(static_cast<size_t>(sizes.streams - 1), request));
  if (!readers.WaitOpen(sizes.patience)) return std::nullopt;

  uint64_t change = 0;
  const auto write = [&](int count) {
    for (int i = 0; i < count; ++i) {
      if (!Put(writer.get(), Stamp(++change, static_cast<size_t>(sizes.value_bytes)))) return false;
      // One at a time: what is measured is delivery, not a queue.
      if (!readers.WaitFor(change, sizes.patience)) return false;
    }
    return true;
  };
  // Buffers find their size, and the slow reader stalls.
  if (!write(sizes.changes / 4 + 3)) return std::nullopt;
  readers.TakeLatencies();
  if (!write(sizes.changes)) return std::nullopt;

  Run run;
  const std::vector<double> latencies = readers.TakeLatencies();
  run.p50 = Median(latencies);
  run.p99 = Quantile(latencies, 0.99);
  run.resident_mb = static_cast<double>(ResidentBytes(gateway.process().pid())) / 1e6;
  if (slow) {
    const auto messages = CatchUp(&*silent, change, sizes.patience);
    if (!messages.has_value()) return std::nullopt;
    run.late_messages = *messages;
  }
  if (readers.ended() > 0) return std::nullopt;
  return run;
}

}  // namespace

bool SlowReader(const Config& config) {
  const Sizes sizes{config.Or(config.streams, 1000, 20), config.Or(config.channels, 100, 4),
                    config.Or(config.changes, 40, 4), config.Or(config.value_bytes, 64 << 10, 64 << 10),
                    absl::Seconds(config.Or(config.patience_seconds, 60, 60))};
  const int pairs = config.Or(config.pairs, 5, 1);
  std::printf("slow_reader: %d streams on %d connections, %d changes of %d bytes a run, %d pairs of runs\n",
              sizes.streams, sizes.channels, sizes.changes, sizes.value_bytes, pairs);
  std::vector<double> p50[2], p99[2], resident[2];
  int most_messages = 0;
  for (int i = 0; i < 2 * pairs; ++i) {
    // Without, with, with, without, ...: neither always comes first.
    const bool slow = i % 4 == 1 || i % 4 == 2;
    const auto run = RunOnce(sizes, slow);
    if (!run.has_value()) {
      std::printf("FAILED: a run %s the slow reader did not get to its end\n", slow ? "with" : "without");
      return false;
    }
    p50[slow].push_back(run->p50);
    p99[slow].push_back(run->p99);
    resident[slow].push_back(run->resident_mb);
    most_messages = std::max(most_messages, run->late_messages);
  }
  std::printf("%-28s %-24s %-24s %s\n", "median (least to most)", "p50, ms", "p99, ms", "resident, MB");
  for (const bool slow : {false, true}) {
    std::printf("%-28s %-24s %-24s %s\n", slow ? "one reader does not read" : "all read", Spread(p50[slow]).c_str(),
                Spread(p99[slow]).c_str(), Spread(resident[slow]).c_str());
  }
  std::printf("with it: p50 %+.1f %%, p99 %+.1f %%, resident %+.1f MB; when it reads again it gets %d messages\n",
              100 * (Median(p50[1]) / Median(p50[0]) - 1), 100 * (Median(p99[1]) / Median(p99[0]) - 1),
              Median(resident[1]) - Median(resident[0]), most_messages);
  const bool few = most_messages <= kMaxLateMessages;
  std::printf("%-6s at most %d messages for a reader that goes on\n", few ? "ok" : "FAILED", kMaxLateMessages);
  return few;
}

}  // namespace meshgate::bench
