#ifndef MESHGATE_SERVER_SERVICE_REGISTRY_HANDLERS_H_
#define MESHGATE_SERVER_SERVICE_REGISTRY_HANDLERS_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/hold/hold_keeper.h"
#include "server/service/call.h"
#include "server/service/reader.h"
#include "server/stream/outbox.h"

namespace meshgate::server {

// meshgate.v1.RegistryService without a transport: validates, asks the hub or the backend, and answers in API messages.
// The proto's comments are the contract. Thread-safe; never blocks. Requests are used inside the call only.
class RegistryHandlers {
 public:
  // All outlive the handlers and every call. Writes that may meet a held instance go through `holds`, which also says
  // where checks may lead. Without a guard nobody is asked for permission; with one each caller has an identity.
  RegistryHandlers(consul::Backend* backend, consul::Hub* hub, HoldKeeper* holds, auth::Guard* guard = nullptr)
      : sources_{backend, hub, guard}, holds_(holds) {}

  void Register(const v1::RegisterRequest& request, const Caller& caller, Reply<v1::RegisterResponse> reply);
  void Deregister(const v1::DeregisterRequest& request, const Caller& caller, Reply<v1::DeregisterResponse> reply);
  void Heartbeat(const v1::HeartbeatRequest& request, const Caller& caller, Reply<v1::HeartbeatResponse> reply);
  void Discover(const v1::DiscoverRequest& request, const Caller& caller, Reply<v1::DiscoverResponse> reply);
  void ListServices(const v1::ListServicesRequest& request, const Caller& caller,
                    Reply<v1::ListServicesResponse> reply);

  // Starts `outbox`, or ends it with the error.
  void WatchService(const v1::WatchServiceRequest& request, const Caller& caller,
                    const std::shared_ptr<Outbox>& outbox);

 private:
  // Calls `write` with OK, or how it is refused. What is held waits for writes to it, so whoever may not has none wait;
  // what is not is left to Consul, where that decides. `service` may be empty: that of the instance alone counts.
  void WhenPermitted(const std::string& id, const std::string& service, const Caller& caller, absl::Duration timeout,
                     absl::AnyInvocable<void(absl::Status)> write);

  const ReadSources sources_;
  HoldKeeper* const holds_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_REGISTRY_HANDLERS_H_
