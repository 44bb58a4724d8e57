// A server whose ConfigService is made of lambdas, for tests of calls.
#ifndef MESHGATE_TESTS_SERVER_WIRE_TEST_SERVER_H_
#define MESHGATE_TESTS_SERVER_WIRE_TEST_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "consul/base/scheduler.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "metrics/registry.h"
#include "server/stream/stream_set.h"
#include "server/wire/grpc_server.h"
#include "server/wire/method_table.h"

namespace meshgate::testing {

using OnGetConfig =
    std::function<void(const v1::GetConfigRequest&, const server::Caller&, server::Reply<v1::GetConfigResponse>)>;
using OnWatchConfig =
    std::function<void(const v1::WatchConfigRequest&, const server::Caller&, const std::shared_ptr<server::Outbox>&)>;

inline constexpr char kConfigService[] = "meshgate.v1.ConfigService";

// On a port of its own. Destroying it ends streams and waits for gRPC. The scheduler is its clock: what a reader may
// take is measured by that, and looked at four times a second.
class TestServer {
 public:
  explicit TestServer(Scheduler* scheduler)
      : methods({scheduler, registry.watch_reporter(), &streams, &calls}, registry.rpc_reporter()),
        scheduler_(scheduler) {
    options.front.listen = {"127.0.0.1:0"};
    options.front.threads = 2;
  }
  ~TestServer() {
    if (server == nullptr) return;
    streams.EndAll(absl::UnavailableError("test over"));
    server.reset();
  }

  // `behind`: for what is not in the table; nothing but names where there is none.
  void Start(std::unique_ptr<grpc::Service> behind = std::make_unique<v1::ConfigService::CallbackService>()) {
    if (get) methods.AddUnary<v1::GetConfigRequest, v1::GetConfigResponse>(kConfigService, "GetConfig", get);
    if (watch) methods.AddWatch<v1::WatchConfigRequest>(kConfigService, "WatchConfig", watch);
    std::vector<server::wire::NamedService> services;
    services.push_back({kConfigService, std::move(behind)});
    auto started = server::wire::GrpcServer::Start(options, &methods, std::move(services), scheduler_,
                                                   registry.watch_reporter(), &calls);
    if (!started.ok()) abort();
    server = *std::move(started);
    stub = v1::ConfigService::NewStub(Channel());
  }

  // A connection of its own: gRPC would share one among equal channels.
  std::shared_ptr<grpc::Channel> Channel(grpc::ChannelArguments arguments = {}) const {
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), arguments);
  }
  const std::string& address() const { return server->addresses().at(0); }

  // Waits until no call is open.
  bool Idle() { return calls.WaitIdle(absl::Now() + absl::Seconds(30)); }
  // The value of a series; -1 where there is none.
  double Metric(const std::string& series) const {
    const std::string text = "\n" + registry.Scrape();
    const size_t at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1.0 : std::stod(text.substr(at + series.size() + 2));
  }
  // How many calls of WatchConfig have ended with a code ("Unavailable").
  double WatchesHandled(const std::string& code) const {
    return Metric(absl::StrCat("grpc_server_handled_total{grpc_code=\"", code,
                               R"(",grpc_method="WatchConfig",grpc_service="meshgate.v1.ConfigService",)",
                               R"(grpc_type="server_stream"})"));
  }

  // Set before Start().
  OnGetConfig get;
  OnWatchConfig watch;
  server::wire::GrpcServerOptions options;

  metrics::Registry registry{"test", "test"};
  server::StreamSet streams;
  server::CallTracker calls;
  server::wire::MethodTable methods;
  std::unique_ptr<server::wire::GrpcServer> server;
  std::unique_ptr<v1::ConfigService::Stub> stub;

 private:
  Scheduler* const scheduler_;
};

// Asks until it holds, at most 30 s. For what is told to nobody.
inline bool Eventually(const std::function<bool()>& holds) {
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (!holds()) {
    if (absl::Now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_WIRE_TEST_SERVER_H_
