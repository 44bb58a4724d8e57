#ifndef MESHGATE_SERVER_BACKEND_FACTORY_H_
#define MESHGATE_SERVER_BACKEND_FACTORY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "server/options.h"

namespace meshgate::server {

// The backend of --backend: the only place that knows concrete ones. Reads the token file and looks at those for
// TLS; FAILED_PRECONDITION, with the option's name, where one cannot be read or is empty. Does not wait for Consul.
absl::StatusOr<std::unique_ptr<consul::Backend>> MakeBackend(const Options& options, Scheduler* scheduler,
                                                             consul::BackendReporter* reporter);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_BACKEND_FACTORY_H_
