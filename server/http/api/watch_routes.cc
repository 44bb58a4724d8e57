#include <memory>
#include <utility>

#include "server/http/api/routes.h"
#include "server/http/api/watch_call.h"

namespace meshgate::server::api {
namespace {

constexpr char kConfig[] = "meshgate.v1.ConfigService";
constexpr char kRegistry[] = "meshgate.v1.RegistryService";

std::vector<Parameter> WatchParameters(std::vector<Parameter> parameters) {
  const Parameter shared[] = {
      {kWait, "", "Answers once, in JSON: with what is new, or after so long with what there is; 1s to 10m.", "30s"},
      {kAfter, "", "resume_token of the message to go on behind; Last-Event-ID, where it is sent, wins over it."},
      {"datacenter", "datacenter", "Consul datacenter; the agent's own without it."},
      {"subscriber", "subscriber", "A name for operators."},
      {"progress_interval", "progress_interval", "A message without events after so long without a change."}};
  parameters.insert(parameters.end(), std::begin(shared), std::end(shared));
  return parameters;
}

template <typename Request, typename Response, typename Handlers>
void ServeWatch(Route route, Handlers* handlers,
                void (Handlers::*method)(const Request&, const Caller&, const std::shared_ptr<Outbox>&),
                const Environment& environment, const std::shared_ptr<WatchThreads>& threads,
                std::vector<Route>* routes, Router* router) {
  route.request = Request::descriptor();
  route.response = Response::descriptor();
  route.streams = true;
  auto watch = std::make_shared<Watch>();
  watch->route = route;
  watch->new_request = [] { return std::make_unique<Request>(); };
  watch->handler = [handlers, method](const google::protobuf::Message& request, const Caller& caller,
                                      const std::shared_ptr<Outbox>& outbox) {
    (handlers->*method)(static_cast<const Request&>(request), caller, outbox);
  };
  watch->method = {route.service, route.rpc,
                   environment.reporter->Method(metrics::RpcReporter::Type::kServerStream, route.service, route.rpc)};
  watch->environment = environment;
  watch->threads = threads;
  routes->push_back(route);
  router->Add(route.method, route.pattern,
              [watch = std::shared_ptr<const Watch>(std::move(watch))](const HttpRequest& http, HttpReply reply) {
                std::make_shared<WatchCall>(watch, http, std::move(reply))->Start(http);
              });
}

}  // namespace

void AddWatchRoutes(ConfigHandlers* config, RegistryHandlers* registry, const Environment& environment,
                    std::vector<Route>* routes, Router* router) {
  const auto threads = std::make_shared<WatchThreads>(environment.scheduler, environment.watches);
  Route key = {"GET",
               "/api/v1/watch/config/{key=**}",
               kConfig,
               "WatchConfig",
               "Follows a key.",
               nullptr,
               nullptr,
               Route::Body::kNone};
  key.variables = {{"key", "key", "May hold slashes; other special characters percent-encoded."}};
  key.parameters = WatchParameters({});
  Route prefix = {"GET",   "/api/v1/watch/config", kConfig, "WatchConfig", "Follows every key under a prefix.", nullptr,
                  nullptr, Route::Body::kNone};
  prefix.parameters = WatchParameters({{"prefix", "prefix", "Required; an empty one follows every key."}});
  for (Route* route : {&key, &prefix}) {
    ServeWatch<v1::WatchConfigRequest, v1::WatchConfigResponse>(std::move(*route), config, &ConfigHandlers::WatchConfig,
                                                                environment, threads, routes, router);
  }
  Route service = {"GET",
                   "/api/v1/watch/services/{service}",
                   kRegistry,
                   "WatchService",
                   "Follows the instances of a service.",
                   nullptr,
                   nullptr,
                   Route::Body::kNone};
  service.variables = {{"service", "service", ""}};
  service.parameters =
      WatchParameters({{"tags", "tags", "More than one: every tag must be present."},
                       {"include_unhealthy", "include_unhealthy", "Also those whose checks don't pass."},
                       {"filter", "filter", "A Consul filter expression."}});
  ServeWatch<v1::WatchServiceRequest, v1::WatchServiceResponse>(
      std::move(service), registry, &RegistryHandlers::WatchService, environment, threads, routes, router);
}

}  // namespace meshgate::server::api
