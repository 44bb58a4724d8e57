#ifndef MESHGATE_SERVER_WIRE_METHODS_H_
#define MESHGATE_SERVER_WIRE_METHODS_H_

#include "server/hold/hold_keeper.h"
#include "server/service/config_handlers.h"
#include "server/service/registry_handlers.h"
#include "server/wire/method_table.h"

namespace meshgate::server::wire {

// Binds each method of meshgate.v1 to its handler. What is given outlives the table.
void AddConfigMethods(ConfigHandlers* handlers, MethodTable* table);
void AddRegistryMethods(RegistryHandlers* handlers, HoldKeeper* holds, MethodTable* table);

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_METHODS_H_
