#include "server/wire/methods.h"

#include <memory>
#include <utility>

namespace meshgate::server::wire {
namespace {

constexpr char kConfig[] = "meshgate.v1.ConfigService";
constexpr char kRegistry[] = "meshgate.v1.RegistryService";

// `handler` is a member of `handlers`, as (request, caller, reply).
template <typename Handlers, typename Request, typename Response>
void Unary(MethodTable* table, const char* service, const char* method, Handlers* handlers,
           void (Handlers::*handler)(const Request&, const Caller&, Reply<Response>)) {
  table->AddUnary<Request, Response>(
      service, method, [handlers, handler](const Request& request, const Caller& caller, Reply<Response> reply) {
        (handlers->*handler)(request, caller, std::move(reply));
      });
}

template <typename Handlers, typename Request>
void Watch(MethodTable* table, const char* service, const char* method, Handlers* handlers,
           void (Handlers::*handler)(const Request&, const Caller&, const std::shared_ptr<Outbox>&)) {
  table->AddWatch<Request>(
      service, method,
      [handlers, handler](const Request& request, const Caller& caller, const std::shared_ptr<Outbox>& outbox) {
        (handlers->*handler)(request, caller, outbox);
      });
}

}  // namespace

void AddConfigMethods(ConfigHandlers* handlers, MethodTable* table) {
  Unary(table, kConfig, "GetConfig", handlers, &ConfigHandlers::GetConfig);
  Unary(table, kConfig, "ListConfig", handlers, &ConfigHandlers::ListConfig);
  Unary(table, kConfig, "PutConfig", handlers, &ConfigHandlers::PutConfig);
  Unary(table, kConfig, "DeleteConfig", handlers, &ConfigHandlers::DeleteConfig);
  Unary(table, kConfig, "CommitConfig", handlers, &ConfigHandlers::CommitConfig);
  Watch(table, kConfig, "WatchConfig", handlers, &ConfigHandlers::WatchConfig);
}

void AddRegistryMethods(RegistryHandlers* handlers, HoldKeeper* holds, MethodTable* table) {
  Unary(table, kRegistry, "Register", handlers, &RegistryHandlers::Register);
  Unary(table, kRegistry, "Deregister", handlers, &RegistryHandlers::Deregister);
  Unary(table, kRegistry, "Heartbeat", handlers, &RegistryHandlers::Heartbeat);
  Unary(table, kRegistry, "Discover", handlers, &RegistryHandlers::Discover);
  Unary(table, kRegistry, "ListServices", handlers, &RegistryHandlers::ListServices);
  Watch(table, kRegistry, "WatchService", handlers, &RegistryHandlers::WatchService);
  table->AddHold(kRegistry, "HoldRegistration", holds);
}

}  // namespace meshgate::server::wire
