#ifndef MESHGATE_TESTS_BENCH_PEERS_PEER_H_
#define MESHGATE_TESTS_BENCH_PEERS_PEER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/load/channel.h"
#include "tests/bench/load/loop.h"

namespace meshgate::bench {

enum class Method {
  kWatch,     // the key's value, now or from now on, and every later one
  kRead,      // the key's value, from the nearest memory that the server answers from
  kWrite,     // another value of the key
  kDiscover,  // the instances of the service
};

// What is watched, read and written, and discovered.
inline constexpr char kKey[] = "bench/key";
inline constexpr char kService[] = "bench-service";

// A server that is measured: it starts when it is made, on free ports of the loopback with its data in a folder of
// TEST_TMPDIR, and is gone with this object.
class Peer {
 public:
  virtual ~Peer() = default;

  // All of its processes.
  virtual std::vector<pid_t> pids() const = 0;

  // What a call of the method says; `value` is for writes.
  virtual std::string Request(Method method, std::string_view value = {}) const = 0;

  // Whether a connection carries many calls at a time.
  virtual bool multiplexes() const { return true; }

  // A connection of its own. Null: refused.
  virtual std::unique_ptr<Channel> Connect(Loop* loop, Method method, ChannelListener* listener) const = 0;
};

// Makes one, or says why there is none: a program that is not installed, and what to install.
using PeerFactory = absl::StatusOr<std::unique_ptr<Peer>> (*)();

// Those of meshgate.v1: the gateway as it is shipped with its own store, the same over TLS, with Consul's at
// `consul_url`, gRPC's callback API and nothing else, and the floor below all of them.
absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgate();
absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgateTls();
absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgateWithConsul(const std::string& consul_url);
absl::StatusOr<std::unique_ptr<Peer>> MakeGrpcCallback();
absl::StatusOr<std::unique_ptr<Peer>> MakeFloor();

// etcd itself, and behind etcd's own gRPC proxy, which joins the watches of a key as the gateway does.
absl::StatusOr<std::unique_ptr<Peer>> MakeEtcd();
absl::StatusOr<std::unique_ptr<Peer>> MakeEtcdProxy();

// Consul's agent, without its limit of connections. A watch is a blocking query, one for each connection.
class ConsulPeer : public Peer {
 public:
  // "http://127.0.0.1:PORT"
  virtual std::string url() const = 0;
  // The service with so many healthy instances.
  virtual absl::Status Register(int instances) = 0;
};
absl::StatusOr<std::unique_ptr<ConsulPeer>> MakeConsulPeer();
absl::StatusOr<std::unique_ptr<Peer>> MakeConsul();

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_PEERS_PEER_H_
