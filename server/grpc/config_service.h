#ifndef MESHGATE_SERVER_GRPC_CONFIG_SERVICE_H_
#define MESHGATE_SERVER_GRPC_CONFIG_SERVICE_H_

#include "meshgate/v1/config_service.grpc.pb.h"
#include "metrics/registry.h"
#include "server/grpc/call_scope.h"
#include "server/grpc/watch_call.h"
#include "server/service/config_handlers.h"

namespace meshgate::server {

// Every method takes and gives raw bytes: see ParseRequest() and WatchCall for why.
template <typename S>
using RawConfigService = v1::ConfigService::WithRawCallbackMethod_GetConfig<
    v1::ConfigService::WithRawCallbackMethod_ListConfig<v1::ConfigService::WithRawCallbackMethod_WatchConfig<
        v1::ConfigService::WithRawCallbackMethod_PutConfig<v1::ConfigService::WithRawCallbackMethod_DeleteConfig<
            v1::ConfigService::WithRawCallbackMethod_CommitConfig<S>>>>>>;

// meshgate.v1.ConfigService on gRPC's callback API: binds each method to its handler and does nothing else.
class ConfigService final : public RawConfigService<v1::ConfigService::Service> {
 public:
  // `handlers` and what `environment` points to outlive the service and its calls.
  ConfigService(ConfigHandlers* handlers, const StreamEnvironment& environment, metrics::RpcReporter* reporter);

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchConfig(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* PutConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CommitConfig(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;

 private:
  ConfigHandlers* const handlers_;
  const StreamEnvironment environment_;
  const MethodInfo get_, list_, watch_, put_, delete_, commit_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_CONFIG_SERVICE_H_
