// Calls that the wire front does not serve itself.
#ifndef MESHGATE_SERVER_WIRE_FORWARDER_H_
#define MESHGATE_SERVER_WIRE_FORWARDER_H_

#include <memory>

#include "absl/time/time.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/server.h"
#include "server/call_tracker.h"
#include "server/wire/call.h"

namespace meshgate::server::wire {

// Brings calls to a grpc::Server of this process over an in-process channel: bytes and metadata as they came, streaming
// both ways, in either direction no faster than the other end takes. Who is behind it does not learn the caller's
// address.
class Forwarder {
 public:
  struct Options {
    // Each costs about 50 KiB. Beyond it calls fail with RESOURCE_EXHAUSTED.
    int max_calls = 1000;
    size_t max_message_bytes = 4 << 20;
  };

  // `server` outlives the forwarder's calls.
  Forwarder(grpc::Server* server, const Options& options);

  std::shared_ptr<Call> Start(Stream* stream);

  // Waits until gRPC is done with every call, which it tells on the calls' loops. All of them have been closed.
  void WaitForCalls() { open_->WaitIdle(absl::InfiniteFuture()); }

 private:
  const Options options_;
  grpc::GenericStub stub_;
  const std::shared_ptr<CallTracker> open_ = std::make_shared<CallTracker>();
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_FORWARDER_H_
