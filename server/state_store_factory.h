#ifndef MESHGATE_SERVER_STATE_STORE_FACTORY_H_
#define MESHGATE_SERVER_STATE_STORE_FACTORY_H_

#include <memory>
#include <string>

#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/state_store.h"

namespace meshgate::server {

// Last known states in `data_dir`/last-known. Logs when they begin or cease to be kept, and what was found damaged;
// goes on to tell `reporter`. Never fails: without a disk the gateway serves from memory, and says so. The scheduler
// and the reporter outlive the store.
std::unique_ptr<consul::StateStore> MakeStateStore(const std::string& data_dir, Scheduler* scheduler,
                                                   consul::StateStoreReporter* reporter);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STATE_STORE_FACTORY_H_
