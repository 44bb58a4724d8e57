#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/load/http2_channel.h"
#include "tests/bench/load/loop.h"
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

// Who has which change, and how long it took to get there.
class Arrivals {
 public:
  void Begin(uint64_t change) {
    change_ = change;
    begun_ = SteadyNanos();
    latencies_.clear();
  }
  void OnChange(uint64_t change) {
    if (change == change_) latencies_.push_back(static_cast<double>(SteadyNanos() - begun_) / 1e6);
  }
  void OnFailure(const std::string& what) { failure_ = what; }
  const std::vector<double>& latencies() const { return latencies_; }
  const std::string& failure() const { return failure_; }

 private:
  uint64_t change_ = 0;
  int64_t begun_ = 0;
  std::vector<double> latencies_;
  std::string failure_;
};

class Client {
 public:
  virtual ~Client() = default;
};

// A stream of server-sent events, as a browser has it.
class EventClient final : public Client, public Loop::Source {
 public:
  EventClient(Loop* loop, const std::string& address, Arrivals* arrivals)
      : loop_(loop), fd_(ConnectTo(address)), arrivals_(arrivals) {
    const std::string request = absl::StrCat("GET /api/v1/watch/config/", kKey,
                                             " HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    if (fd_ < 0 || send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
      arrivals->OnFailure("no connection");
      return;
    }
    loop_->Add(fd_, this);
  }
  ~EventClient() override {
    if (fd_ < 0) return;
    loop_->Remove(fd_);
    close(fd_);
  }

  void OnReady(uint32_t) override {
    const ssize_t read = recv(fd_, loop_->buffer().data(), loop_->buffer().size(), 0);
    if (read <= 0) {
      loop_->Remove(fd_);
      return arrivals_->OnFailure("a stream has ended");
    }
    text_.append(loop_->buffer().data(), static_cast<size_t>(read));
    for (size_t end; (end = text_.find("\n\n")) != std::string::npos; text_.erase(0, end + 2)) {
      OnEvent(std::string_view(text_).substr(0, end));
    }
    // Else it would keep what the largest event took.
    if (text_.empty()) text_.shrink_to_fit();
  }

 private:
  void OnEvent(std::string_view event) {
    static constexpr std::string_view kValue = "\"value\":\"";
    // A stamp of 32 bytes, and a byte more.
    constexpr size_t kStampInBase64 = 44;
    const size_t at = event.find(kValue);
    if (at == std::string_view::npos) return;
    std::string value;
    const std::string_view encoded = event.substr(at + kValue.size(), kStampInBase64);
    if (!absl::Base64Unescape({encoded.data(), encoded.size()}, &value)) return arrivals_->OnFailure("no base64");
    arrivals_->OnChange(FindStamp(value).value_or(0));
  }

  Loop* const loop_;
  const int fd_;
  Arrivals* const arrivals_;
  std::string text_;
};

// WatchConfig streams on one connection.
class GrpcClient final : public Client, public ChannelListener {
 public:
  GrpcClient(Loop* loop, const std::string& address, const RequestHeaders* headers, int streams, Arrivals* arrivals)
      : arrivals_(arrivals) {
    const int fd = ConnectTo(address);
    if (fd < 0) {
      arrivals->OnFailure("no connection");
      return;
    }
    channel_ = std::make_unique<Http2Channel>(loop, fd, headers, /*half_close=*/true, this);
    v1::WatchConfigRequest request;
    request.set_key(kKey);
    for (int i = 0; i < streams; ++i) channel_->Call(i, request.SerializeAsString());
  }

  void OnMessage(int, std::string_view message) override { arrivals_->OnChange(FindStamp(message).value_or(0)); }
  void OnEnd(int, bool) override { OnFailure("a stream has ended"); }
  void OnFailure(const std::string& what) override { arrivals_->OnFailure(what); }

 private:
  Arrivals* const arrivals_;
  std::unique_ptr<Channel> channel_;
};

struct Kind {
  const char* name;
  bool events;
  int per_connection;
};

// When it has come to rest.
double ResidentKb(pid_t pid, Loop* loop) {
  absl::Duration before = CpuTime(pid);
  for (int i = 0; i < 100; ++i) {
    loop->RunFor(absl::Milliseconds(200));
    const absl::Duration now = CpuTime(pid);
    if (now - before <= absl::Milliseconds(10)) break;
    before = now;
  }
  return static_cast<double>(ResidentBytes(pid)) / 1024;
}

bool Measure(const Config& config, const Kind& kind) {
  const int streams = config.Or(config.streams, 10'000, 200);
  const int changes = config.Or(config.changes, 20, 3);
  const auto bytes = static_cast<size_t>(config.Or(config.value_bytes, 1024, 1024));
  const absl::Duration patience = absl::Seconds(config.Or(config.patience_seconds, 60, 30));
  std::vector<std::string> flags = {"--log_level=warn"};
  // Descriptors that one port may use are not the other's.
  // One in sixteen is kept for calls.
  if (kind.events) flags.push_back(absl::StrCat("--http_max_connections=", streams + streams / 8 + 100));
  GatewayProcess gateway(std::move(flags));
  if (!gateway.listening()) return false;
  const pid_t pid = gateway.process().pid();
  const auto writer = v1::ConfigService::NewStub(Connect(gateway.grpc_address()));
  if (!PutStamped(writer.get(), kKey, 1, bytes)) return false;

  Loop loop;
  Arrivals arrivals;
  const RequestHeaders headers = MakeRequestHeaders("/meshgate.v1.ConfigService/WatchConfig");
  std::vector<std::unique_ptr<Client>> clients;
  const auto open = [&](int wanted) {
    for (int opened = 0; opened < wanted; opened += kind.per_connection) {
      if (kind.events) {
        clients.push_back(std::make_unique<EventClient>(&loop, gateway.http_address(), &arrivals));
      } else {
        clients.push_back(
            std::make_unique<GrpcClient>(&loop, gateway.grpc_address(), &headers, kind.per_connection, &arrivals));
      }
    }
  };
  const auto all_have = [&](size_t wanted) {
    const auto there = [&] { return arrivals.latencies().size() >= wanted || !arrivals.failure().empty(); };
    if (loop.RunUntil(there, patience) && arrivals.failure().empty()) return true;
    std::fprintf(stderr, "%zu of %zu have it %s\n", arrivals.latencies().size(), wanted, arrivals.failure().c_str());
    return false;
  };

  arrivals.Begin(1);
  // What a process takes for its first stream whatever comes after it.
  open(kind.per_connection);
  const auto first = static_cast<size_t>(kind.per_connection);
  if (!all_have(first)) return false;
  const double empty = ResidentKb(pid, &loop);
  open(streams);
  if (!all_have(first + static_cast<size_t>(streams))) return false;
  const double full = ResidentKb(pid, &loop);

  std::vector<double> latencies;
  const absl::Duration cpu_before = CpuTime(pid);
  for (int change = 2; change < 2 + changes; ++change) {
    arrivals.Begin(static_cast<uint64_t>(change));
    if (!PutStamped(writer.get(), kKey, static_cast<uint64_t>(change), bytes)) return false;
    if (!all_have(first + static_cast<size_t>(streams))) return false;
    latencies.insert(latencies.end(), arrivals.latencies().begin(), arrivals.latencies().end());
  }
  const absl::Duration cpu = CpuTime(pid) - cpu_before;
  std::printf("%-44s %7d %13.2f %8.1f %8.1f %8.1f %15.2f\n", kind.name, streams, (full - empty) / streams,
              Quantile(latencies, 0.5), Quantile(latencies, 0.99), Quantile(latencies, 1),
              absl::ToDoubleMicroseconds(cpu) / static_cast<double>(latencies.size()));
  std::fflush(stdout);
  return true;
}

}  // namespace

bool HttpStreams(const Config& config) {
  const Kind kinds[] = {
      {"server-sent events, each its own connection", true, 1},
      {"gRPC, each on its own connection", false, 1},
      {"gRPC, 100 on a connection", false, 100},
  };
  std::printf("http_streams: one key (embedded store), from before the write to the arrival of each\n");
  std::printf("%-44s %7s %13s %8s %8s %8s %15s\n", "", "streams", "KiB a stream", "p50 ms", "p99 ms", "last ms",
              "CPU, us/message");
  for (const Kind& kind : kinds) {
    if (Measure(config, kind)) continue;
    std::printf("FAILED: %s\n", kind.name);
    return false;
  }
  return true;
}

}  // namespace meshgate::bench
