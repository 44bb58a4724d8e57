// The wire front: ports, threads, connections.
#ifndef MESHGATE_SERVER_WIRE_FRONT_H_
#define MESHGATE_SERVER_WIRE_FRONT_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "server/wire/call.h"
#include "server/wire/connection.h"
#include "server/wire/event_loop.h"
#include "server/wire/listener.h"

namespace meshgate::server::wire {

struct FrontOptions {
  std::vector<std::string> listen;
  // 0: one for each processor.
  int threads = 0;
  ConnectionOptions connection;
  EventLoop::Options loop;
  // More are closed as soon as they are taken.
  int max_connections = 100'000;
};

// Speaks HTTP/2 on its ports and has each request served by a call.
class Front {
 public:
  // `calls` makes the call of each stream, on its loop. All outlive the front. UNAVAILABLE when an address cannot be
  // listened on.
  static absl::StatusOr<std::unique_ptr<Front>> Start(const FrontOptions& options, Scheduler* clock,
                                                      consul::WatchReporter* watches, CallFactory calls);
  // Same as Stop().
  ~Front();

  // Where it listens, with the ports that were chosen for port 0.
  const std::vector<std::string>& addresses() const { return addresses_; }
  int connections() const { return connections_; }

  // Takes no new connections, and tells those that are there to take their next calls elsewhere; each closes when its
  // last call has ended. Readers are waited for no longer than a drain may take.
  void BeginDrain();
  // Waits until no connection is left, at most until `deadline` on the wall clock; returns whether none is.
  bool WaitForConnections(absl::Time deadline);
  // Closes what is left, soon. After BeginDrain().
  void CloseConnections();
  // The same, and ends the threads. Idempotent.
  void Stop();

 private:
  Front(const FrontOptions& options, Scheduler* clock, consul::WatchReporter* watches, CallFactory calls);

  absl::Status Listen();
  // Whether more may be taken at once.
  bool OnAccept(int fd, std::string peer);
  // On any loop.
  void OnClosed();

  const FrontOptions options_;
  metrics::ConnectionReporter* const reporter_;
  const CallFactory calls_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  std::atomic<int> connections_{0};
  // Of these, on their way to their loops.
  std::atomic<int> on_their_way_{0};
  // Of the listeners' loop.
  size_t next_ = 0;
  bool full_ = false;

  Mutex mu_;
  CondVar changed_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_FRONT_H_
