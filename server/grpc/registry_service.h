#ifndef MESHGATE_SERVER_GRPC_REGISTRY_SERVICE_H_
#define MESHGATE_SERVER_GRPC_REGISTRY_SERVICE_H_

#include "meshgate/v1/registry_service.grpc.pb.h"
#include "metrics/registry.h"
#include "server/grpc/call_scope.h"
#include "server/grpc/watch_call.h"
#include "server/hold/hold_keeper.h"
#include "server/service/registry_handlers.h"

namespace meshgate::server {

// Every method takes and gives raw bytes: see ParseRequest() and WatchCall for why.
template <typename S>
using RawRegistryService = v1::RegistryService::WithRawCallbackMethod_Register<
    v1::RegistryService::WithRawCallbackMethod_Deregister<v1::RegistryService::WithRawCallbackMethod_Heartbeat<
        v1::RegistryService::WithRawCallbackMethod_HoldRegistration<
            v1::RegistryService::WithRawCallbackMethod_Discover<v1::RegistryService::WithRawCallbackMethod_WatchService<
                v1::RegistryService::WithRawCallbackMethod_ListServices<S>>>>>>>;

// meshgate.v1.RegistryService on gRPC's callback API: binds each method to its handler and does nothing else.
class RegistryService final : public RawRegistryService<v1::RegistryService::Service> {
 public:
  // `handlers`, `holds` and what `environment` points to outlive the service and its calls.
  RegistryService(RegistryHandlers* handlers, HoldKeeper* holds, const StreamEnvironment& environment,
                  metrics::RpcReporter* reporter);

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Deregister(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* HoldRegistration(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Discover(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchService(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* ListServices(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;

 private:
  RegistryHandlers* const handlers_;
  HoldKeeper* const holds_;
  const StreamEnvironment environment_;
  const MethodInfo register_, deregister_, heartbeat_, hold_, discover_, watch_, list_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_REGISTRY_SERVICE_H_
