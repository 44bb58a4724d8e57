#ifndef MESHGATE_SERVER_WIRE_GRPC_SERVER_H_
#define MESHGATE_SERVER_WIRE_GRPC_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "grpcpp/server.h"
#include "server/call_tracker.h"
#include "server/wire/forwarder.h"
#include "server/wire/front.h"
#include "server/wire/method_table.h"

namespace meshgate::server::wire {

struct GrpcServerOptions {
  FrontOptions front;
  Forwarder::Options forwarder;
  // Of calls that no table has; those that one has see to it themselves. Outlives the server; null: nobody counts.
  limits::Limits* limits = nullptr;
};

struct NamedService {
  // "meshgate.v1.ConfigService"; what the health service knows it by.
  std::string name;
  // What reflection describes, and what is called where the method table has nothing.
  std::unique_ptr<grpc::Service> service;
};

// What speaks gRPC on our ports: the front, which serves the methods of a table itself, and behind it a grpc::Server of
// this process for all others: health (grpc.health.v1, for "" and for each service), reflection, channelz. gRPC's own
// log lines go to ours.
//
// A stop has three steps, each called once and in this order, with the store shut down between the last two so that
// every call gets its answer: BeginShutdown(), WaitForCalls(), FinishShutdown(). The destructor does what is left.
class GrpcServer {
 public:
  // All outlive the server. UNAVAILABLE when an address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options, const MethodTable* methods,
                                                           std::vector<NamedService> services, Scheduler* clock,
                                                           consul::WatchReporter* watches, CallTracker* calls);
  ~GrpcServer();

  // Where it listens, with the port that was chosen for port 0.
  const std::vector<std::string>& addresses() const { return front_->addresses(); }

  // What the health service says of every service. True after Start().
  void SetServing(bool serving);

  // Takes no new connections. Calls in progress go on, at most until `deadline` on the wall clock.
  void BeginShutdown(absl::Time deadline);

  // Waits until no native call is left, or until the deadline. Returns whether none is left.
  bool WaitForCalls();

  // Ends what is left, such as health watches, and closes the connections when they have been told.
  void FinishShutdown();

 private:
  GrpcServer(std::vector<NamedService> services, std::unique_ptr<grpc::Server> server, const MethodTable* methods,
             const Forwarder::Options& options, CallTracker* calls);

  const std::vector<NamedService> services_;
  const std::unique_ptr<grpc::Server> server_;
  const MethodTable* const methods_;
  CallTracker* const calls_;
  Forwarder forwarder_;
  std::unique_ptr<Front> front_;
  absl::Time deadline_ = absl::InfinitePast();
  bool shutting_down_ = false;
  bool shut_down_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_GRPC_SERVER_H_
