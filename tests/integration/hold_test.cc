// Registrations that live as long as their streams, through the real gateway, on a real Consul and on the embedded
// store.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

constexpr char kReachable[] = R"(meshgate_consul_breaker_state{state="closed"})";

using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;

v1::HoldRegistrationRequest First(const std::string& id, int linger_seconds = 0) {
  v1::HoldRegistrationRequest request;
  request.mutable_registration()->mutable_instance()->set_service("web");
  request.mutable_registration()->mutable_instance()->set_id(id);
  request.mutable_registration()->mutable_instance()->set_port(8080);
  request.mutable_linger()->set_seconds(linger_seconds);
  return request;
}

// One stream of a caller in this process.
class Holder {
 public:
  Holder(const std::shared_ptr<grpc::Channel>& channel, const v1::HoldRegistrationRequest& first)
      : stub_(v1::RegistryService::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    stream_ = stub_->HoldRegistration(&context_);
    stream_->Write(first);
  }
  ~Holder() {
    if (ended_) return;
    Cancel();
    End();
  }

  // Reads until the gateway says so; false where the stream ends before.
  bool ReadUntil(bool registered) {
    while (stream_->Read(&state_)) {
      if (state_.registered() == registered) return true;
    }
    return false;
  }
  void Report(v1::HealthStatus status) {
    v1::HoldRegistrationRequest request;
    request.set_status(status);
    stream_->Write(request);
  }
  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  grpc::Status End() {
    while (stream_->Read(&state_)) {
    }
    ended_ = true;
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<v1::RegistryService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::HoldRegistrationRequest, v1::HoldRegistrationResponse>> stream_;
  v1::HoldRegistrationResponse state_;
  bool ended_ = false;
};

bool Eventually(const std::function<bool()>& holds, absl::Duration within = absl::Seconds(60)) {
  const absl::Time end = absl::Now() + within;
  while (!holds()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

std::string Ended(const char* code) {
  return absl::StrCat("grpc_server_handled_total{grpc_code=\"", code,
                      R"(",grpc_method="HoldRegistration",grpc_service="meshgate.v1.RegistryService",)",
                      R"(grpc_type="bidi_stream"})");
}

enum class Store { kConsul, kEmbedded };

class HoldTest : public ::testing::TestWithParam<Store> {
 protected:
  void SetUp() override {
    if (GetParam() == Store::kConsul) {
      agent_ = std::make_unique<ConsulAgent>();
      ASSERT_TRUE(agent_->ready());
    }
    StartGateway();
  }

  void StartGateway() {
    std::vector<std::string> flags = {"--data_dir=" + data_dir_};
    if (agent_ != nullptr) {
      flags.push_back("--backend=consul");
      flags.push_back("--consul_address=" + agent_->url());
    }
    gateway_.reset();
    gateway_ = std::make_unique<GatewayProcess>(std::move(flags));
    ASSERT_TRUE(gateway_->listening());
    stub_ = v1::RegistryService::NewStub(gateway_->NewChannel());
  }

  // Straight from the store.
  std::optional<v1::DiscoveredInstance> Find(const std::string& id) {
    v1::DiscoverRequest request;
    request.set_service("web");
    request.set_include_unhealthy(true);
    request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
    grpc::ClientContext context;
    v1::DiscoverResponse response;
    const grpc::Status status = stub_->Discover(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    for (const auto& instance : response.instances()) {
      if (instance.instance().id() == id) return instance;
    }
    return std::nullopt;
  }
  bool Has(const std::string& id, v1::HealthStatus health = v1::HEALTH_STATUS_PASSING) {
    const auto found = Find(id);
    return found.has_value() && found->status() == health;
  }

  // Of this test alone.
  const std::string data_dir_ =
      absl::StrCat(getenv("TEST_TMPDIR"), "/",
                   absl::StrReplaceAll(::testing::UnitTest::GetInstance()->current_test_info()->name(), {{"/", "-"}}));
  std::unique_ptr<ConsulAgent> agent_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<v1::RegistryService::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(Stores, HoldTest, ::testing::Values(Store::kConsul, Store::kEmbedded),
                         [](const auto& info) { return info.param == Store::kConsul ? "Consul" : "Embedded"; });

// Would break if a held instance were not discovered at once, did not show what it reports, or were still there when
// its caller is told OK.
TEST_P(HoldTest, LivesAsLongAsItsStream) {
  Holder holder(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(holder.ReadUntil(true));
  EXPECT_TRUE(Has("web-1"));
  if (agent_ != nullptr) {
    const auto health = agent_->Call("GET", "/v1/health/service/web?passing");
    EXPECT_TRUE(absl::StrContains(health.body, "\"ID\": \"web-1\"")) << health.body;
  }
  holder.Report(v1::HEALTH_STATUS_CRITICAL);
  EXPECT_TRUE(Eventually([&] { return Has("web-1", v1::HEALTH_STATUS_CRITICAL); }));
  holder.Report(v1::HEALTH_STATUS_PASSING);
  EXPECT_TRUE(Eventually([&] { return Has("web-1"); }));
  EXPECT_EQ(gateway_->Metric("meshgate_held_registrations"), 1);
  holder.HalfClose();
  const grpc::Status end = holder.End();
  EXPECT_TRUE(end.ok()) << end.error_message();
  EXPECT_FALSE(Find("web-1").has_value());
  EXPECT_TRUE(gateway_->WaitForMetric("meshgate_held_registrations", 0));
}

// Would break if a program that crashed were gone before it can be back, or stayed for good.
TEST_P(HoldTest, AKilledClientLingers) {
  ChildProcess::Options options;
  options.arguments = {"client/meshgatectl",    "hold", "--service", "web", "--id", "web-1", "--endpoint",
                       gateway_->grpc_address()};
  ChildProcess client(options);
  ASSERT_EQ(client.WaitForLine("web-1\tregistered"), "web-1\tregistered");
  client.Signal(SIGKILL);
  ASSERT_TRUE(client.Wait().has_value());
  ASSERT_TRUE(gateway_->WaitForMetric(Ended("Canceled"), 1));
  EXPECT_TRUE(Has("web-1"));
  EXPECT_EQ(gateway_->Metric("meshgate_held_registrations"), 1);
  EXPECT_TRUE(Eventually([&] { return !Find("web-1").has_value(); }));
  EXPECT_EQ(gateway_->Metric(Ended("OK")), 0);
}

// Would break if Ctrl-C left the instance to the linger.
TEST_P(HoldTest, AnInterruptedClientSaysGoodbye) {
  ChildProcess::Options options;
  options.arguments = {"client/meshgatectl", "hold", "--service",  "web",
                       "--linger",           "10m",  "--endpoint", gateway_->grpc_address()};
  ChildProcess client(options);
  ASSERT_EQ(client.WaitForLine("web\tregistered"), "web\tregistered");
  client.Signal(SIGINT);
  const auto ended = client.Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 130);
  EXPECT_TRUE(Eventually([&] { return !Find("web").has_value(); }, absl::Seconds(30)));
}

// Would break if readers saw a program change that only lost its connection for a moment.
TEST_P(HoldTest, ComingBackChangesNothing) {
  const auto seen = [this] {
    if (agent_ == nullptr) return Find("web-1")->SerializeAsString();
    // With CreateIndex and ModifyIndex of the instance and of its checks.
    return agent_->Call("GET", "/v1/health/service/web").body;
  };
  auto first = std::make_unique<Holder>(gateway_->NewChannel(), First("web-1", 60));
  ASSERT_TRUE(first->ReadUntil(true));
  const std::string before = seen();
  first.reset();
  ASSERT_TRUE(gateway_->WaitForMetric(Ended("Canceled"), 1));
  Holder second(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(second.ReadUntil(true));
  EXPECT_EQ(seen(), before);
  // And while the first one still stands.
  Holder third(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(third.ReadUntil(true));
  EXPECT_EQ(second.End().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(seen(), before);
}

// Would break if a deployment of the gateway took every held instance from the catalog, or its callers were not told
// to go elsewhere.
TEST_P(HoldTest, ADrainLeavesTheInstance) {
  Holder holder(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(holder.ReadUntil(true));
  const auto before = Find("web-1");
  gateway_->process().Signal(SIGTERM);
  EXPECT_EQ(holder.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  const auto ended = gateway_->process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
  if (agent_ != nullptr) {
    const auto services = agent_->Call("GET", "/v1/agent/services");
    EXPECT_TRUE(absl::StrContains(services.body, "\"web-1\"")) << services.body;
  }
  StartGateway();
  Holder again(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(again.ReadUntil(true));
  const auto after = Find("web-1");
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->modify_index(), before->modify_index());
  EXPECT_EQ(after->status(), v1::HEALTH_STATUS_PASSING);
}

// Would break if a caller's own deregistration were undone by the gateway, or the stream went on as if nothing were.
TEST_P(HoldTest, ADeregisterEndsTheHold) {
  Holder holder(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(holder.ReadUntil(true));
  v1::DeregisterRequest request;
  request.set_id("web-1");
  grpc::ClientContext context;
  v1::DeregisterResponse response;
  ASSERT_TRUE(stub_->Deregister(&context, request, &response).ok());
  const grpc::Status end = holder.End();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_TRUE(absl::StrContains(end.error_details(), "DEREGISTERED"));
  EXPECT_FALSE(Find("web-1").has_value());
}

class HoldOnConsulTest : public HoldTest {};
INSTANTIATE_TEST_SUITE_P(Consul, HoldOnConsulTest, ::testing::Values(Store::kConsul));

// Would break if an agent that lost its memory, as each of them does in a container that is replaced, stayed without
// the instances that are there.
TEST_P(HoldOnConsulTest, AnAgentThatForgotGetsItAgain) {
  Holder holder(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(holder.ReadUntil(true));
  agent_->Kill();
  ASSERT_TRUE(holder.ReadUntil(false));
  agent_->Restart();
  ASSERT_TRUE(agent_->ready());
  ASSERT_TRUE(holder.ReadUntil(true));
  // Agents take registrations before they know of a leader, and answer reads after that.
  ASSERT_TRUE(gateway_->WaitForMetric(kReachable, 1));
  EXPECT_TRUE(Has("web-1"));
  EXPECT_EQ(gateway_->Metric("meshgate_reregistrations_total"), 1);
}

// Would break if a caller could not be let in while Consul is away, or not be told that it has to wait.
TEST_P(HoldOnConsulTest, WaitsForConsul) {
  agent_->Kill();
  Holder holder(gateway_->NewChannel(), First("web-1"));
  ASSERT_TRUE(holder.ReadUntil(false));
  agent_->Restart();
  ASSERT_TRUE(agent_->ready());
  ASSERT_TRUE(holder.ReadUntil(true));
  ASSERT_TRUE(gateway_->WaitForMetric(kReachable, 1));
  EXPECT_TRUE(Has("web-1"));
}

// Would break if the instance of a gateway that was killed went on as healthy.
TEST_P(HoldOnConsulTest, AKilledGatewayLeavesItToItsTtl) {
  v1::HoldRegistrationRequest first = First("web-1");
  first.mutable_registration()->add_checks()->mutable_ttl()->set_seconds(2);
  Holder holder(gateway_->NewChannel(), first);
  ASSERT_TRUE(holder.ReadUntil(true));
  gateway_->process().Signal(SIGKILL);
  EXPECT_EQ(holder.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Eventually(
      [&] { return !absl::StrContains(agent_->Call("GET", "/v1/health/service/web?passing").body, "\"web-1\""); }));
  EXPECT_TRUE(absl::StrContains(agent_->Call("GET", "/v1/health/service/web").body, "\"web-1\""));
}

// What a process has used of the processor so far.
absl::Duration CpuOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  const std::vector<std::string> fields = absl::StrSplit(text.str().substr(text.str().rfind(')') + 2), ' ');
  return absl::Seconds(std::stod(fields[11]) + std::stod(fields[12])) / sysconf(_SC_CLK_TCK);
}

// One of many streams, on gRPC's callback client.
class ManyHolder final : public grpc::ClientBidiReactor<v1::HoldRegistrationRequest, v1::HoldRegistrationResponse> {
 public:
  ManyHolder(const std::shared_ptr<grpc::Channel>& channel, const std::string& id, std::atomic<int>* registered,
             std::atomic<int>* ended)
      : stub_(v1::RegistryService::NewStub(channel)), first_(First(id)), registered_(registered), ended_(ended) {
    stub_->async()->HoldRegistration(&context_, this);
    StartWrite(&first_);
    StartRead(&state_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    *registered_ += static_cast<int>(state_.registered()) - static_cast<int>(was_registered_);
    was_registered_ = state_.registered();
    StartRead(&state_);
  }
  void OnDone(const grpc::Status&) override { ++*ended_; }

 private:
  const std::unique_ptr<v1::RegistryService::Stub> stub_;
  const v1::HoldRegistrationRequest first_;
  std::atomic<int>* const registered_;
  std::atomic<int>* const ended_;
  grpc::ClientContext context_;
  v1::HoldRegistrationResponse state_;
  bool was_registered_ = false;
};

// Would break if a gateway that holds many did not keep up with their heartbeats. Prints what it costs.
TEST_P(HoldOnConsulTest, AThousand) {
  constexpr int kHeld = 1000;
  std::atomic<int> registered{0}, ended{0};
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(gateway_->NewChannel());
  std::vector<std::unique_ptr<ManyHolder>> holders;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < kHeld; ++i) {
    holders.push_back(
        std::make_unique<ManyHolder>(channels[i % channels.size()], absl::StrCat("web-", i), &registered, &ended));
  }
  EXPECT_TRUE(Eventually([&] { return registered == kHeld; }, absl::Seconds(120)));
  const absl::Duration opened = absl::Now() - begin;

  // Longer than the TTL.
  const std::string beats = R"(meshgate_consul_requests_total{code="200",endpoint="agent_check"})";
  const double beats_before = gateway_->Metric(beats).value_or(0);
  const absl::Duration cpu_before = CpuOf(gateway_->process().pid());
  const absl::Duration agent_before = CpuOf(agent_->pid());
  const absl::Time measured = absl::Now();
  double most = 0, last = beats_before;
  while (absl::Now() - measured < absl::Seconds(20)) {
    absl::SleepFor(absl::Milliseconds(500));
    const double now = gateway_->Metric(beats).value_or(0);
    most = std::max(most, now - last);
    last = now;
  }
  const absl::Duration took = absl::Now() - measured;
  const absl::Duration cpu = CpuOf(gateway_->process().pid()) - cpu_before;
  const absl::Duration agent_cpu = CpuOf(agent_->pid()) - agent_before;
  std::cout << kHeld << " held: registered in " << opened << "; " << (last - beats_before) / absl::ToDoubleSeconds(took)
            << " heartbeats/s, at most " << most << " in half a second; gateway " << 100 * absl::FDivDuration(cpu, took)
            << " % of a core, agent " << 100 * absl::FDivDuration(agent_cpu, took) << " %; gateway RSS "
            << gateway_->Metric("process_resident_memory_bytes").value_or(0) / (1 << 20) << " MiB" << std::endl;
  EXPECT_EQ(registered, kHeld);
  const auto passing = agent_->Call("GET", "/v1/health/service/web?passing");
  int count = 0;
  for (size_t at = 0; (at = passing.body.find("\"ServiceID\": \"web-", at)) != std::string::npos; ++at) ++count;
  EXPECT_GE(count, kHeld);
  EXPECT_EQ(gateway_->Metric("meshgate_reregistrations_total"), 0);

  for (auto& holder : holders) holder->Cancel();
  EXPECT_TRUE(Eventually([&] { return ended == kHeld; }));
}

}  // namespace
}  // namespace meshgate
