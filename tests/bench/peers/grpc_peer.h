#ifndef MESHGATE_TESTS_BENCH_PEERS_GRPC_PEER_H_
#define MESHGATE_TESTS_BENCH_PEERS_GRPC_PEER_H_

#include <map>
#include <memory>
#include <string>

#include "tests/bench/load/request_headers.h"
#include "tests/bench/peers/peer.h"

namespace meshgate::bench {

// What a server that speaks gRPC calls its methods.
struct GrpcMethod {
  std::string path;
  // Requests are a stream, which the client does not end.
  bool client_streams = false;
};

// A peer that speaks gRPC. Derived classes have the processes and the requests.
class GrpcPeer : public Peer {
 public:
  explicit GrpcPeer(const std::map<Method, GrpcMethod>& methods);

  std::unique_ptr<Channel> Connect(Loop* loop, Method method, ChannelListener* listener) const override;

 protected:
  // "127.0.0.1:PORT"
  virtual const std::string& address() const = 0;
  virtual bool speaks_tls() const { return false; }

 private:
  struct Call {
    RequestHeaders headers;
    bool client_streams;
  };
  std::map<Method, Call> calls_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_PEERS_GRPC_PEER_H_
