#ifndef MESHGATE_SERVER_GRPC_GRPC_SERVER_H_
#define MESHGATE_SERVER_GRPC_GRPC_SERVER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "grpcpp/server.h"
#include "server/grpc/call_tracker.h"

namespace meshgate::server {

// Limits on what one peer can cost. A port that strangers can reach still needs a proxy in front of it.
struct GrpcServerOptions {
  // HOST:PORT or unix:PATH.
  std::vector<std::string> listen;
  // Of a request; the largest legal one is a value of 512 KiB with its key.
  int max_request_bytes = 4 << 20;
  // Of a request's headers.
  int max_metadata_bytes = 16 << 10;
  // Calls open on one connection at a time; more wait at the client.
  int max_streams_per_connection = 4096;
  // Memory that connections and calls may take together before new ones are refused.
  size_t max_memory_bytes = size_t{1} << 30;
  // A connection that has been silent for so long is pinged, and closed when no answer comes in time. The timeout is
  // also the socket's TCP_USER_TIMEOUT: what a peer's host has not acknowledged in it, or what a peer that has stopped
  // reading its socket altogether has no room for, closes the connection, too, when a ping could not even be sent.
  absl::Duration keepalive_time = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // Clients may ping this often; those that do so oftener three times in a row get their connection closed. Go's and
  // Java's ping every 10 s at most, whatever they are told; the rest is room for pings that a network lets bunch up.
  absl::Duration least_client_ping_interval = absl::Seconds(5);
};

struct NamedService {
  // "meshgate.v1.ConfigService"; what the health service knows it by.
  std::string name;
  grpc::Service* service;
};

// The gRPC server with what stands beside our services: health (grpc.health.v1, for "" and for each service),
// reflection and channelz. gRPC's own log lines go to ours.
//
// A stop has three steps, each called once and in this order, with the store shut down between the last two so that
// every call gets its answer: BeginShutdown(), WaitForCalls(), FinishShutdown(). The destructor does what is left.
class GrpcServer {
 public:
  // `services` and `calls` outlive the server. UNAVAILABLE when an address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           const std::vector<NamedService>& services,
                                                           CallTracker* calls);
  ~GrpcServer();

  // Where it listens, with the port that was chosen for port 0.
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Whether a port of this process has stopped taking connections for good, which gRPC 1.51 does when it cannot accept
  // one, out of file descriptors for one. Nothing but a new process mends that. Any thread.
  static bool ListenerDead();

  // What the health service says of every service. True after Start().
  void SetServing(bool serving);

  // Takes no new connections and calls. Calls in progress go on, at most until `deadline` on the wall clock.
  void BeginShutdown(absl::Time deadline);

  // Waits until no call to one of our services is left, or until the deadline. Returns whether none is left.
  bool WaitForCalls();

  // Cuts what is left, such as health watches, which end only with their connection, and waits for gRPC to be done. It
  // waits as long as a handler does not answer.
  void FinishShutdown();

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::vector<std::string> addresses, CallTracker* calls);

  const std::unique_ptr<grpc::Server> server_;
  const std::vector<std::string> addresses_;
  CallTracker* const calls_;
  absl::Time deadline_;
  std::thread shutdown_;

  Mutex mu_;
  CondVar changed_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_GRPC_SERVER_H_
