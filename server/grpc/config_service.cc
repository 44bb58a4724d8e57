#include "server/grpc/config_service.h"

#include <memory>
#include <utility>

#include "server/grpc/unary_call.h"

namespace meshgate::server {
namespace {

using Type = metrics::RpcReporter::Type;

MethodInfo Describe(metrics::RpcReporter* reporter, Type type, const char* method) {
  const char* service = v1::ConfigService::service_full_name();
  return {service, method, reporter->Method(type, service, method)};
}

}  // namespace

ConfigService::ConfigService(ConfigHandlers* handlers, const StreamEnvironment& environment,
                             metrics::RpcReporter* reporter)
    : handlers_(handlers),
      environment_(environment),
      get_(Describe(reporter, Type::kUnary, "GetConfig")),
      list_(Describe(reporter, Type::kUnary, "ListConfig")),
      watch_(Describe(reporter, Type::kServerStream, "WatchConfig")),
      put_(Describe(reporter, Type::kUnary, "PutConfig")),
      delete_(Describe(reporter, Type::kUnary, "DeleteConfig")),
      commit_(Describe(reporter, Type::kUnary, "CommitConfig")) {}

grpc::ServerUnaryReactor* ConfigService::GetConfig(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::GetConfigRequest, v1::GetConfigResponse>::Start(
      &get_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->GetConfig(r, caller, std::move(reply)); });
}

grpc::ServerUnaryReactor* ConfigService::ListConfig(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::ListConfigRequest, v1::ListConfigResponse>::Start(
      &list_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->ListConfig(r, caller, std::move(reply)); });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ConfigService::WatchConfig(grpc::CallbackServerContext* context,
                                                                       const grpc::ByteBuffer* request) {
  return WatchCall::Start<v1::WatchConfigRequest>(
      environment_, &watch_, context, request,
      [this](const v1::WatchConfigRequest& r, const Caller& caller, const std::shared_ptr<Outbox>& outbox) {
        handlers_->WatchConfig(r, caller, outbox);
      });
}

grpc::ServerUnaryReactor* ConfigService::PutConfig(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::PutConfigRequest, v1::PutConfigResponse>::Start(
      &put_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) { handlers_->PutConfig(r, caller, std::move(reply)); });
}

grpc::ServerUnaryReactor* ConfigService::DeleteConfig(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::DeleteConfigRequest, v1::DeleteConfigResponse>::Start(
      &delete_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) {
        handlers_->DeleteConfig(r, caller, std::move(reply));
      });
}

grpc::ServerUnaryReactor* ConfigService::CommitConfig(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall<v1::CommitConfigRequest, v1::CommitConfigResponse>::Start(
      &commit_, environment_.calls, context, request, response,
      [this](const auto& r, const Caller& caller, auto reply) {
        handlers_->CommitConfig(r, caller, std::move(reply));
      });
}

}  // namespace meshgate::server
