#include "server/grpc/registry_service.h"

#include <utility>

#include "server/grpc/hold_call.h"
#include "server/grpc/unary_call.h"

namespace meshgate::server {
namespace {

using Type = metrics::RpcReporter::Type;

MethodInfo Describe(metrics::RpcReporter* reporter, Type type, const char* method) {
  const char* service = v1::RegistryService::service_full_name();
  return {service, method, reporter->Method(type, service, method)};
}

}  // namespace

RegistryService::RegistryService(RegistryHandlers* handlers, HoldKeeper* holds, const StreamEnvironment& environment,
                                 metrics::RpcReporter* reporter)
    : handlers_(handlers),
      holds_(holds),
      environment_(environment),
      register_(Describe(reporter, Type::kUnary, "Register")),
      deregister_(Describe(reporter, Type::kUnary, "Deregister")),
      heartbeat_(Describe(reporter, Type::kUnary, "Heartbeat")),
      hold_(Describe(reporter, Type::kBidiStream, "HoldRegistration")),
      discover_(Describe(reporter, Type::kUnary, "Discover")),
      watch_(Describe(reporter, Type::kServerStream, "WatchService")),
      list_(Describe(reporter, Type::kUnary, "ListServices")) {}

grpc::ServerUnaryReactor* RegistryService::Register(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::RegisterRequest, v1::RegisterResponse>::Start(
      &register_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->Register(r, caller, std::move(reply)); });
}

grpc::ServerUnaryReactor* RegistryService::Deregister(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::DeregisterRequest, v1::DeregisterResponse>::Start(
      &deregister_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->Deregister(r, caller, std::move(reply)); });
}

grpc::ServerUnaryReactor* RegistryService::Heartbeat(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::HeartbeatRequest, v1::HeartbeatResponse>::Start(
      &heartbeat_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->Heartbeat(r, caller, std::move(reply)); });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* RegistryService::HoldRegistration(
    grpc::CallbackServerContext* context) {
  return HoldCall::Start(environment_, holds_, &hold_, context);
}

grpc::ServerUnaryReactor* RegistryService::Discover(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::DiscoverRequest, v1::DiscoverResponse>::Start(
      &discover_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->Discover(r, caller, std::move(reply)); });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RegistryService::WatchService(grpc::CallbackServerContext* context,
                                                                          const grpc::ByteBuffer* request) {
  return WatchCall::Start<v1::WatchServiceRequest>(
      environment_, &watch_, context, request,
      [this](const v1::WatchServiceRequest& r, const Caller& caller, const std::shared_ptr<Outbox>& outbox) {
        handlers_->WatchService(r, caller, outbox);
      });
}

grpc::ServerUnaryReactor* RegistryService::ListServices(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::ListServicesRequest, v1::ListServicesResponse>::Start(
      &list_, environment_.calls, context, request, response, [this](const auto& r, const Caller& caller, auto reply) {
        handlers_->ListServices(r, caller, std::move(reply));
      });
}

}  // namespace meshgate::server
