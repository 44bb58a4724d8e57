// A gRPC server whose ConfigService is made of lambdas, for tests of the adapters.
#ifndef MESHGATE_TESTS_SERVER_GRPC_TEST_SERVICE_H_
#define MESHGATE_TESTS_SERVER_GRPC_TEST_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "consul/base/scheduler.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "metrics/registry.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/unary_call.h"
#include "server/grpc/watch_call.h"

namespace meshgate::testing {

using OnGetConfig =
    std::function<void(const v1::GetConfigRequest&, const server::Caller&, server::Reply<v1::GetConfigResponse>)>;
using OnWatchConfig =
    std::function<void(const v1::WatchConfigRequest&, const server::Caller&, const std::shared_ptr<server::Outbox>&)>;

class TestService final : public v1::ConfigService::WithRawCallbackMethod_GetConfig<
                              v1::ConfigService::WithRawCallbackMethod_WatchConfig<v1::ConfigService::Service>> {
 public:
  TestService(const server::StreamEnvironment& environment, metrics::RpcReporter* reporter)
      : get_method_{"meshgate.v1.ConfigService", "GetConfig",
                    reporter->Method(metrics::RpcReporter::Type::kUnary, "meshgate.v1.ConfigService", "GetConfig")},
        watch_method_{
            "meshgate.v1.ConfigService", "WatchConfig",
            reporter->Method(metrics::RpcReporter::Type::kServerStream, "meshgate.v1.ConfigService", "WatchConfig")},
        environment_(environment) {}

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override {
    return server::UnaryCall<v1::GetConfigRequest, v1::GetConfigResponse>::Start(&get_method_, environment_.calls,
                                                                                 context, request, response, get);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchConfig(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override {
    return server::WatchCall::Start<v1::WatchConfigRequest>(environment_, &watch_method_, context, request, watch);
  }

  // Set before the first call.
  OnGetConfig get;
  OnWatchConfig watch;

 private:
  const server::MethodInfo get_method_, watch_method_;
  const server::StreamEnvironment environment_;
};

// The service on a port of its own. Destroying it ends streams and waits for gRPC.
struct TestServer {
  explicit TestServer(Scheduler* scheduler)
      : service({scheduler, registry.watch_reporter(), &streams, &calls}, registry.rpc_reporter()) {}
  ~TestServer() {
    if (server == nullptr) return;
    streams.EndAll(absl::UnavailableError("test over"));
    server.reset();
  }

  void Start() {
    server::GrpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto started = server::GrpcServer::Start(options, {{"meshgate.v1.ConfigService", &service}}, &calls);
    if (!started.ok()) abort();
    server = *std::move(started);
    stub = v1::ConfigService::NewStub(Channel());
  }

  // A connection of its own: gRPC would share one among equal channels.
  std::shared_ptr<grpc::Channel> Channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(server->addresses().at(0), grpc::InsecureChannelCredentials(), arguments);
  }

  metrics::Registry registry{"test", "test"};
  server::StreamSet streams;
  server::CallTracker calls;
  TestService service;
  std::unique_ptr<server::GrpcServer> server;
  std::unique_ptr<v1::ConfigService::Stub> stub;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_GRPC_TEST_SERVICE_H_
