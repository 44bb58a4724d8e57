#ifndef MESHGATE_SERVER_GRPC_STATUS_H_
#define MESHGATE_SERVER_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace meshgate::server {

// The one mapping of our errors to gRPC: same code, same message, and the details as a google.rpc.Status in the trailer
// grpc-status-details-bin, where every language's helpers find them.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_STATUS_H_
