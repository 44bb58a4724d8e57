// The servers that clients are run against.
#ifndef MESHGATE_TESTS_CONFORMANCE_SERVERS_H_
#define MESHGATE_TESTS_CONFORMANCE_SERVERS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/conformance/service.h"

namespace meshgate::conformance {

// Serves the Conformance service, health and reflection on a free port of the loopback.
class ServerUnderTest {
 public:
  virtual ~ServerUnderTest() = default;
  // "127.0.0.1:PORT".
  virtual std::string address() const = 0;
  // Takes no new calls, waits for those in progress until `deadline` and cuts the rest.
  virtual void Shutdown(absl::Time deadline) = 0;
};

// A grpc::Server with a listener of its own: what all others are held against. `events` outlives it.
absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartPlainServer(Events* events);

// The wire front with a grpc::Server behind it, which every call is forwarded to.
absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartForwardingServer(Events* events);

// The same, and the service's own methods are served by the front.
absl::StatusOr<std::unique_ptr<ServerUnderTest>> StartNativeServer(Events* events);

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_SERVERS_H_
