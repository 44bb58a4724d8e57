#ifndef MESHGATE_SERVER_SERVICE_CONFIG_HANDLERS_H_
#define MESHGATE_SERVER_SERVICE_CONFIG_HANDLERS_H_

#include <memory>

#include "absl/status/status.h"
#include "consul/backend.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "server/auth/authorizer.h"
#include "server/service/call.h"
#include "server/service/reader.h"
#include "server/stream/outbox.h"

namespace meshgate::server {

// meshgate.v1.ConfigService without a transport: validates, asks the hub or the backend, and answers in API messages.
// The proto's comments are the contract. Thread-safe; never blocks. Requests are used inside the call only.
class ConfigHandlers {
 public:
  // All outlive the handlers and every call. Without a guard nobody is asked for permission; with one each caller has
  // an identity.
  ConfigHandlers(consul::Backend* backend, consul::Hub* hub, auth::Guard* guard = nullptr)
      : sources_{backend, hub, guard} {}

  void GetConfig(const v1::GetConfigRequest& request, const Caller& caller, Reply<v1::GetConfigResponse> reply);
  void ListConfig(const v1::ListConfigRequest& request, const Caller& caller, Reply<v1::ListConfigResponse> reply);
  void PutConfig(const v1::PutConfigRequest& request, const Caller& caller, Reply<v1::PutConfigResponse> reply);
  void DeleteConfig(const v1::DeleteConfigRequest& request, const Caller& caller,
                    Reply<v1::DeleteConfigResponse> reply);
  void CommitConfig(const v1::CommitConfigRequest& request, const Caller& caller,
                    Reply<v1::CommitConfigResponse> reply);

  // Starts `outbox`, or ends it with the error.
  void WatchConfig(const v1::WatchConfigRequest& request, const Caller& caller, const std::shared_ptr<Outbox>& outbox);

 private:
  // OK also where Consul decides.
  absl::Status MayWrite(const Caller& caller, const auth::KeyWrite& write) const;

  const ReadSources sources_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_CONFIG_HANDLERS_H_
