// Ten times as many keys as Consul gives one client connections, over plain HTTP, on an agent as it comes.
//
// MESHGATE_BUDGET_KEYS=10000 makes it a measurement: with that many keys, and figures on standard output.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/testing/config_streams.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConfigStreams;
using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::StreamLog;

// Of Consul's 200; the gateway's default is 160, and the rest is for those who watch it here.
constexpr int kMaxConnections = 170;
constexpr int kStreamsPerChannel = 100;
constexpr size_t kOperationsPerTransaction = 64;
constexpr absl::Duration kBound = absl::Minutes(5);

int Keys() {
  const char* text = std::getenv("MESHGATE_BUDGET_KEYS");
  return text != nullptr ? std::atoi(text) : 1000;
}
bool Measuring() { return std::getenv("MESHGATE_BUDGET_KEYS") != nullptr; }
void Tell(const std::string& line) {
  if (!Measuring()) return;
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// Looks at the connections to the agent, and how long others' calls take, until it is stopped.
class Observer {
 public:
  Observer(const ConsulAgent& agent, const GatewayProcess& gateway) {
    connections_ = std::thread([this, &agent] {
      while (!stop_) {
        most_connections_ = std::max<int>(most_connections_, agent.ClientConnections());
        absl::SleepFor(absl::Milliseconds(20));
      }
    });
    calls_ = std::thread([this, channel = gateway.NewChannel()] { Call(channel); });
  }
  ~Observer() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread* thread : {&connections_, &calls_}) {
      if (thread->joinable()) thread->join();
    }
  }

  int most_connections() const { return most_connections_; }
  int failed() const { return failed_; }
  int made() const { return static_cast<int>(took_.size()); }

  std::string Latencies() {
    if (took_.empty()) return "none";
    std::sort(took_.begin(), took_.end());
    return absl::StrFormat("%d calls, p50 %.1f ms, p99 %.1f ms, worst %.1f ms", took_.size(), At(0.5), At(0.99), At(1));
  }

 private:
  double At(double share) const {
    const auto i = static_cast<size_t>(share * static_cast<double>(took_.size() - 1));
    return absl::ToDoubleMilliseconds(took_[i]);
  }

  // A registration and a read past the cache, in turn.
  void Call(const std::shared_ptr<grpc::Channel>& channel) {
    auto registry = v1::RegistryService::NewStub(channel);
    auto config = v1::ConfigService::NewStub(channel);
    for (int i = 0; !stop_; ++i) {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
      const absl::Time begin = absl::Now();
      grpc::Status status;
      if (i % 2 == 0) {
        v1::RegisterRequest request;
        request.mutable_instance()->set_service("budget");
        request.mutable_instance()->set_id(absl::StrCat("budget-", i % 20));
        request.mutable_instance()->set_address("127.0.0.1");
        request.mutable_instance()->set_port(1 + i % 20);
        v1::RegisterResponse response;
        status = registry->Register(&context, request, &response);
      } else {
        v1::GetConfigRequest request;
        request.set_key("k/00001");
        request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
        v1::GetConfigResponse response;
        status = config->GetConfig(&context, request, &response);
      }
      took_.push_back(absl::Now() - begin);
      if (!status.ok()) ++failed_;
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> most_connections_{0};
  std::atomic<int> failed_{0};
  std::vector<absl::Duration> took_;
  std::thread connections_;
  std::thread calls_;
};

class KeyBudgetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    gateway_ = std::make_unique<GatewayProcess>(
        std::vector<std::string>{"--backend=consul", "--consul_address=" + agent_.url()});
    ASSERT_TRUE(gateway_->listening());
  }

  static std::string Name(int i) { return absl::StrFormat("k/%05d", i); }

  // Writes keys in transactions, as others would.
  void Write(const std::vector<std::string>& keys, const std::string& value) {
    std::string encoded;
    absl::Base64Escape(value, &encoded);
    for (size_t begin = 0; begin < keys.size(); begin += kOperationsPerTransaction) {
      std::vector<std::string> operations;
      for (size_t i = begin; i < std::min(keys.size(), begin + kOperationsPerTransaction); ++i) {
        operations.push_back(
            absl::StrCat(R"({"KV":{"Verb":"set","Key":")", keys[i], R"(","Value":")", encoded, R"("}})"));
      }
      const auto answer = agent_.Call("PUT", "/v1/txn", absl::StrCat("[", absl::StrJoin(operations, ","), "]"));
      ASSERT_EQ(answer.code, 200) << answer.body;
    }
  }

  double Requests() {
    const std::string text = gateway_->Get("/metrics").value_or("");
    double requests = 0;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      double value = 0;
      if (absl::StartsWith(line, "meshgate_consul_requests_total{") &&
          absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) {
        requests += value;
      }
    }
    return requests;
  }

  void TellHistogram(const std::string& name, const std::string& label) {
    if (!Measuring()) return;
    for (const absl::string_view line : absl::StrSplit(gateway_->Get("/metrics").value_or(""), '\n')) {
      if (absl::StartsWith(line, name) && absl::StrContains(line, label)) Tell(std::string(line));
    }
  }

  double CpuSeconds() { return gateway_->Metric("process_cpu_seconds_total").value_or(0); }

  ConsulAgent agent_;
  std::unique_ptr<GatewayProcess> gateway_;
};

bool Holds(const StreamLog& log, const std::string& value) {
  return log.state.size() == 1 && log.state.begin()->second == value;
}

// The promise: however many keys are watched, Consul sees a bounded number of connections, every key delivers, those
// that don't exist yet too, and other calls go on meanwhile.
TEST_F(KeyBudgetTest, ManyMoreKeysThanConnections) {
  const int count = Keys();
  std::vector<std::string> keys;
  std::vector<std::string> present;
  for (int i = 0; i < count; ++i) {
    keys.push_back(Name(i));
    // One in ten is not there.
    if (i % 10 != 7) present.push_back(keys.back());
  }
  Write(present, "first");

  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < std::max(1, count / kStreamsPerChannel); ++i) channels.push_back(gateway_->NewChannel());

  ConfigStreams kept;
  // Of keys that will be deleted.
  ConfigStreams doomed;
  std::vector<std::string> doomed_keys;
  const auto all = [&](const std::function<bool(const StreamLog&)>& holds) {
    return kept.WaitForAll(holds, kBound) && doomed.WaitForAll(holds, kBound);
  };
  Observer during(agent_, *gateway_);
  absl::Time begin = absl::Now();
  for (int i = 0; i < count; ++i) {
    v1::WatchConfigRequest request;
    request.set_key(keys[static_cast<size_t>(i)]);
    const bool goes = i % 50 == 10;
    if (goes) doomed_keys.push_back(request.key());
    (goes ? doomed : kept).Open({channels[static_cast<size_t>(i) % channels.size()]}, request, 1);
  }
  ASSERT_TRUE(all([](const StreamLog& log) { return log.snapshots == 1; }));
  Tell(absl::StrCat("first messages of ", count, ": ", absl::FormatDuration(absl::Now() - begin)));

  // At once, while the plan may still be changing: nothing may be lost in a hand-over.
  begin = absl::Now();
  Write(keys, "second");
  Tell(absl::StrCat("written: ", absl::FormatDuration(absl::Now() - begin)));
  const bool second = all([](const StreamLog& log) { return Holds(log, "second"); });
  Tell(absl::StrCat("all have the change: ", absl::FormatDuration(absl::Now() - begin)));
  EXPECT_TRUE(second);

  // The queries of its own that each key began with have ended or been taken over.
  const bool all_shared = gateway_->WaitForMetric("meshgate_upstream_polled", 0);
  EXPECT_TRUE(all_shared) << "some are still without a seat";
  EXPECT_GE(gateway_->Metric("meshgate_upstream_shared_targets").value_or(0), count * 0.8);
  EXPECT_LE(gateway_->Metric("meshgate_upstream_watches{kind=\"key\"}").value_or(1e9) +
                gateway_->Metric("meshgate_upstream_watches{kind=\"prefix\"}").value_or(1e9),
            100);

  begin = absl::Now();
  Write(keys, "third");
  Tell(absl::StrCat("written: ", absl::FormatDuration(absl::Now() - begin)));
  EXPECT_TRUE(all([](const StreamLog& log) { return Holds(log, "third"); }));
  Tell(absl::StrCat("all have the next change: ", absl::FormatDuration(absl::Now() - begin)));

  // A key that goes is told to its own stream alone.
  begin = absl::Now();
  for (const std::string& key : doomed_keys) {
    ASSERT_EQ(agent_.Call("DELETE", absl::StrCat("/v1/kv/", key)).code, 200);
  }
  EXPECT_TRUE(doomed.WaitForAll([](const StreamLog& log) { return log.state.empty(); }, kBound));
  Tell(absl::StrCat(doomed_keys.size(), " deleted and told: ", absl::FormatDuration(absl::Now() - begin)));
  for (ConfigStreams* streams : {&kept, &doomed}) {
    for (const StreamLog& log : streams->logs()) {
      EXPECT_EQ(log.snapshots, 1);
      EXPECT_EQ(log.stale, 0);
      EXPECT_EQ(log.deletes, streams == &doomed ? 1 : 0);
      // The first state, two changes, a deletion.
      EXPECT_EQ(log.responses, streams == &doomed ? 4 : 3);
    }
  }

  during.Stop();
  EXPECT_GT(during.most_connections(), 1);
  EXPECT_LE(during.most_connections(), kMaxConnections);
  EXPECT_EQ(during.failed(), 0);
  EXPECT_GT(during.made(), 0);
  Tell(absl::StrCat("connections at most: ", during.most_connections()));
  Tell(absl::StrCat("Register and Get during all that: ", during.Latencies()));
  // What the gateway and Consul took of that; the rest is the caller's, who opens thousands of streams meanwhile.
  TellHistogram("grpc_server_handling_seconds_bucket", "grpc_method=\"Register\"");
  TellHistogram("meshgate_consul_request_duration_seconds_bucket", "endpoint=\"agent_service\"");
  Tell(absl::StrCat("plans: ", gateway_->Metric("meshgate_upstream_replans_total").value_or(-1),
                    ", queries of keys: ", gateway_->Metric("meshgate_upstream_watches{kind=\"key\"}").value_or(-1),
                    ", of prefixes: ", gateway_->Metric("meshgate_upstream_watches{kind=\"prefix\"}").value_or(-1),
                    ", RSS MiB: ", gateway_->Metric("process_resident_memory_bytes").value_or(0) / (1 << 20)));

  // Without changes almost nothing is asked: absent keys must not make it spin. A bound on requests, not on time: a
  // busy machine asks less.
  const absl::Duration idle = Measuring() ? absl::Seconds(20) : absl::Seconds(2);
  if (Measuring()) absl::SleepFor(absl::Seconds(35));
  const double requests = Requests();
  const double cpu = CpuSeconds();
  absl::SleepFor(idle);
  const double asked = Requests() - requests;
  EXPECT_LE(asked, 150 * absl::ToDoubleSeconds(idle));
  Tell(absl::StrFormat("idle for %.0f s: %.0f requests, %.2f %% of a core", absl::ToDoubleSeconds(idle), asked,
                       100 * (CpuSeconds() - cpu) / absl::ToDoubleSeconds(idle)));
  if (Measuring()) {
    Observer quiet(agent_, *gateway_);
    absl::SleepFor(absl::Seconds(10));
    quiet.Stop();
    Tell(absl::StrCat("Register and Get when idle: ", quiet.Latencies()));
  }
}

}  // namespace
}  // namespace meshgate
