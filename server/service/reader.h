#ifndef MESHGATE_SERVER_SERVICE_READER_H_
#define MESHGATE_SERVER_SERVICE_READER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/watch/hub.h"
#include "consul/watch/target.h"
#include "meshgate/v1/common.pb.h"
#include "server/auth/guard.h"
#include "server/service/read_options.h"

namespace meshgate::server {

struct ReadResult {
  // Never null; the list that fits the target's kind is used.
  consul::SharedState state;
  v1::ReadInfo info;
};

using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadResult>)>;

// Where reads go. All outlive them; `guard` is null where nobody is asked for permission.
struct ReadSources {
  consul::Backend* backend;
  consul::Hub* hub;
  auth::Guard* guard;
};

// Reads `target` the way `plan` says; the plan's datacenter counts, not the target's.
//
// A read from Consul whose answer is older than the plan's min_index is made once more, with a quorum. That answer is
// given whatever its index: it reflects every write that was acknowledged before, and the index of what was read need
// not have moved. `done` runs once, on the scheduler of the hub and the backend or inside the call.
//
// With a guard the read is the caller's: what comes from Consul was asked for with its token, and what the hub knows
// is given as far as Consul says, after it was looked up, that the token may read it. PERMISSION_DENIED where that is
// nothing, also where Consul itself would say that there is nothing.
void Read(const ReadSources& sources, consul::Target target, const ReadPlan& plan, ReadDone done);

// The instances of a service sorted by network distance from `near`, which Consul alone knows: never from the hub.
void ReadNear(const ReadSources& sources, consul::Target service, const std::string& near, const ReadPlan& plan,
              ReadDone done);

// As Hub::Subscribe(), through the guard where there is one.
std::unique_ptr<consul::Subscription> Subscribe(const ReadSources& sources, const auth::SharedIdentity& identity,
                                                const consul::Target& target, const consul::View& view,
                                                std::optional<consul::ResumeToken> resume,
                                                consul::Subscriber* subscriber);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_READER_H_
