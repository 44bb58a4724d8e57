#ifndef MESHGATE_SERVER_RPC_STATUS_H_
#define MESHGATE_SERVER_RPC_STATUS_H_

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace meshgate::server {

// A failed status as every transport sends it: code, message, and each payload as a detail. Bounded, because it travels
// in headers that peers limit to 8 KiB: a message is cut at 1 KiB, and details that would take more than 3 KiB together
// are left out, the largest first.
google::rpc::Status ToRpcStatus(const absl::Status& status);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_RPC_STATUS_H_
