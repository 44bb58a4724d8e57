#include "server/grpc/status.h"

#include "server/rpc_status.h"

namespace meshgate::server {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc = ToRpcStatus(status);
  const auto code = static_cast<grpc::StatusCode>(status.code());
  if (rpc.details().empty()) return grpc::Status(code, rpc.message());
  return grpc::Status(code, rpc.message(), rpc.SerializeAsString());
}

}  // namespace meshgate::server
