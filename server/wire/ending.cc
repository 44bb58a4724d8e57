#include "server/rpc_status.h"
#include "server/wire/call.h"

namespace meshgate::server::wire {

Ending EndingOf(const absl::Status& status) {
  if (status.ok()) return {};
  const google::rpc::Status rpc = ToRpcStatus(status);
  Ending ending{rpc.code(), rpc.message(), {}};
  if (!rpc.details().empty()) {
    ending.trailers.emplace_back("grpc-status-details-bin", Base64Encode(rpc.SerializeAsString()));
  }
  return ending;
}

}  // namespace meshgate::server::wire
