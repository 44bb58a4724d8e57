#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "consul/base/thread_pool_scheduler.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"
#include "server/wire/forwarder.h"
#include "server/wire/front.h"
#include "tests/conformance/grpc_service.h"
#include "tests/conformance/native_call.h"
#include "tests/conformance/servers.h"

namespace meshgate::conformance {
namespace {

// What gRPC's own server takes if it is not told otherwise.
constexpr int kMaxRequestBytes = 4 << 20;

// The wire front, which serves the service itself or forwards it with everything else.
class FrontServer final : public ServerUnderTest {
 public:
  FrontServer(Events* events, bool native) : events_(events), native_(native), service_(events) {}
  ~FrontServer() override {
    if (server_ != nullptr) server_->Shutdown();
  }

  absl::Status Start() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::UnavailableError("gRPC does not start");
    server_->GetHealthCheckService()->SetServingStatus(v1::Conformance::service_full_name(), true);
    forwarder_ = std::make_unique<server::wire::Forwarder>(server_.get(), server::wire::Forwarder::Options());
    server::wire::FrontOptions options;
    options.listen = {"127.0.0.1:0"};
    options.connection.session.max_request_bytes = size_t{kMaxRequestBytes};
    auto front = server::wire::Front::Start(options, &clock_, &watches_, [this](server::wire::Stream* stream) {
      std::shared_ptr<server::wire::Call> call = native_ ? MakeNativeCall(stream, events_) : nullptr;
      return call != nullptr ? call : forwarder_->Start(stream);
    });
    if (!front.ok()) return front.status();
    front_ = *std::move(front);
    return absl::OkStatus();
  }

  std::string address() const override { return front_->addresses().front(); }

  void Shutdown(absl::Time deadline) override {
    front_->BeginDrain();
    front_->WaitForConnections(deadline);
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    front_->Stop();
  }

 private:
  Events* const events_;
  const bool native_;
  ThreadPoolScheduler clock_{1, "clock"};
  consul::WatchReporter watches_;
  GrpcService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<server::wire::Forwarder> forwarder_;
  std::unique_ptr<server::wire::Front> front_;
};

absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartFront(Events* events, bool native) {
  auto server = std::make_unique<FrontServer>(events, native);
  if (absl::Status status = server->Start(); !status.ok()) return status;
  return server;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartForwardingServer(Events* events) {
  return StartFront(events, /*native=*/false);
}

absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartNativeServer(Events* events) {
  return StartFront(events, /*native=*/true);
}

}  // namespace meshgate::conformance
