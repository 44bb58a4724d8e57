// Calls that the wire front does not serve itself.
#ifndef MESHGATE_SERVER_WIRE_FORWARDER_H_
#define MESHGATE_SERVER_WIRE_FORWARDER_H_

#include <atomic>
#include <memory>

#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/server.h"
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

 private:
  const Options options_;
  grpc::GenericStub stub_;
  std::shared_ptr<std::atomic<int>> open_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_FORWARDER_H_
