#include "tests/bench/peers/grpc_peer.h"

#include <unistd.h>

#include "tests/bench/load/http2_channel.h"
#include "tests/bench/load/tls.h"

namespace meshgate::bench {

GrpcPeer::GrpcPeer(const std::map<Method, GrpcMethod>& methods) {
  for (const auto& [method, grpc] : methods) calls_[method] = {MakeRequestHeaders(grpc.path), grpc.client_streams};
}

std::unique_ptr<Channel> GrpcPeer::Connect(Loop* loop, Method method, ChannelListener* listener) const {
  const int fd = ConnectTo(address());
  if (fd < 0) return nullptr;
  SSL* const tls = speaks_tls() ? TlsOn(fd) : nullptr;
  if (speaks_tls() && tls == nullptr) {
    close(fd);
    return nullptr;
  }
  const Call& call = calls_.at(method);
  return std::make_unique<Http2Channel>(loop, fd, &call.headers, !call.client_streams, listener, tls);
}

}  // namespace meshgate::bench
