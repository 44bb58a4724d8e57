#include "server/gateway.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/instance_directory.h"
#include "consul/relay.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "metrics/registry.h"
#include "server/auth/allow_list_file.h"
#include "server/auth/consul_authorizer.h"
#include "server/auth/guard.h"
#include "server/auth/list_authorizer.h"
#include "server/call_tracker.h"
#include "server/consul_events.h"
#include "server/file_limit.h"
#include "server/health_monitor.h"
#include "server/hold/hold_keeper.h"
#include "server/http/admin.h"
#include "server/http/api/openapi.h"
#include "server/http/api/routes.h"
#include "server/http/consul/routes.h"
#include "server/http/cors.h"
#include "server/http/error.h"
#include "server/http/gzip.h"
#include "server/http/host.h"
#include "server/http/http_server.h"
#include "server/limits/limits.h"
#include "server/log.h"
#include "server/service/config_handlers.h"
#include "server/service/registry_handlers.h"
#include "server/state_store_factory.h"
#include "server/stream/stream_set.h"
#include "server/tls/endpoint.h"
#include "server/version.h"
#include "server/wire/grpc_server.h"
#include "server/wire/method_table.h"
#include "server/wire/methods.h"

namespace meshgate::server {
namespace {

// Told to callers whose stream ends: long enough for a successor or a neighbour to be found.
constexpr absl::Duration kRetryAfterDrain = absl::Seconds(1);

// One in so many file descriptors may be an HTTP connection where nothing is said, and one in so many is neither that
// nor a gRPC one: for the store, Consul and the log.
constexpr uint64_t kHttpShareOfFiles = 8;
constexpr uint64_t kOtherShareOfFiles = 8;
constexpr uint64_t kMostHttpConnections = 16'384;

int HttpConnections(const Options& options) {
  const uint64_t files = FileLimit();
  if (options.http_max_connections == 0) {
    return static_cast<int>(std::min(kMostHttpConnections, files / kHttpShareOfFiles));
  }
  // Some are left for everything else, whatever is asked for.
  const uint64_t most = files - 2 * (files / kOtherShareOfFiles);
  const auto wanted = static_cast<uint64_t>(options.http_max_connections);
  if (wanted > most) {
    Log(LogLevel::kWarn, "http_max_connections is lowered: raise the limit of open files (ulimit -n, LimitNOFILE)",
        {{"wanted", static_cast<int64_t>(wanted)}, {"used", static_cast<int64_t>(most)}});
  }
  return static_cast<int>(std::min(wanted, most));
}

int WorkerThreads(const Options& options) {
  if (options.worker_threads > 0) return options.worker_threads;
  return std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
}

std::string_view NameOf(BackendKind kind) { return kind == BackendKind::kConsul ? "consul" : "embedded"; }

consul::HubOptions HubOptionsOf(const Options& options) {
  consul::HubOptions hub;
  hub.wait = options.consul_wait;
  hub.linger = options.watch_linger;
  return hub;
}

wire::GrpcServerOptions GrpcOptionsOf(const Options& options, int http_connections,
                                      metrics::ConnectionReporter* reporter) {
  wire::GrpcServerOptions grpc;
  wire::FrontOptions& front = grpc.front;
  front.listen = options.grpc_listen;
  front.threads = options.grpc_threads;
  front.loop.write_timeout = options.watch_write_timeout;
  front.connection.keepalive_time = options.grpc_keepalive_time;
  front.connection.keepalive_timeout = options.grpc_keepalive_timeout;
  if (options.grpc_max_connection_age > absl::ZeroDuration()) {
    front.connection.max_age = options.grpc_max_connection_age;
  }
  front.connection.max_age_grace = options.grpc_max_connection_age_grace;
  front.connection.reporter = reporter;
  // Whatever happens here, some are left for HTTP, the store and the log.
  const uint64_t files = FileLimit();
  front.max_connections = static_cast<int>(
      std::min<uint64_t>(front.max_connections, files - files / kOtherShareOfFiles - http_connections));
  return grpc;
}

void WarnOfOpenPort(const std::string& address, AuthMode auth, const tls::Files& tls) {
  if (IsLoopback(address)) return;
  const bool plain = tls.cert_file.empty();
  const char* warning = nullptr;
  if (auth == AuthMode::kNone && plain) {
    warning = "listening beyond this host without TLS and authentication: trust the network or put a proxy in front";
  } else if (auth == AuthMode::kNone && tls.client_ca_file.empty()) {
    warning = "listening beyond this host without authentication: whoever reaches the port is served";
  } else if (auth != AuthMode::kNone && plain) {
    warning = "listening beyond this host without TLS: tokens are read by whoever reads the network";
  }
  if (warning != nullptr) Log(LogLevel::kWarn, warning, {{"address", address}});
}

tls::Files GrpcTlsFiles(const Options& o) {
  return {o.grpc_tls_cert_file, o.grpc_tls_key_file, o.grpc_tls_client_ca_file};
}

tls::Files HttpTlsFiles(const Options& o) {
  return {o.http_tls_cert_file, o.http_tls_key_file, o.http_tls_client_ca_file};
}

consul::CheckAllowList CheckAllowOf(const Options& options) {
  return options.check_allow.value_or(consul::CheckAllowList());
}

limits::LimitsOptions LimitsOf(const Options& o) {
  return {{o.limit_caller_streams, o.limit_caller_targets, o.limit_caller_requests},
          {o.limit_streams, o.limit_targets, o.limit_requests}};
}

}  // namespace

// In the order of their making; destroyed the other way round. Each refers only to parts above it.
struct Gateway::Parts {
  explicit Parts(const Options& o)
      : options(o), metrics(Version(), NameOf(o.backend)), scheduler(WorkerThreads(o), "worker") {}

  Readiness Ready() const;
  // Null for a listener without TLS.
  absl::StatusOr<std::shared_ptr<tls::Endpoint>> OpenTls(const char* listener, const tls::Files& files,
                                                         const char* protocol, tls::HandshakeBudget* handshakes);
  // Refuses calls over HTTP once `stopping`. Streams end by themselves, in the way that their readers understand.
  HttpFilter RefuseWhileStopping();
  // Null: nobody is asked.
  absl::StatusOr<std::unique_ptr<auth::Authorizer>> MakeAuthorizer();

  const Options options;
  metrics::Registry metrics;
  // Apart: a port that strangers reach must not cost another its probes.
  tls::HandshakeBudget grpc_handshakes, http_handshakes;
  ConsulEvents consul_events{metrics.backend_reporter()};
  ThreadPoolScheduler scheduler;
  std::unique_ptr<consul::Backend> backend;
  // With Consul only: the embedded store keeps its own data.
  std::unique_ptr<consul::StateStore> state_store;
  std::unique_ptr<consul::Hub> hub;
  // With --auth=mtls only.
  std::shared_ptr<auth::AllowListFile> allow_list;
  // Null with --auth=none.
  std::unique_ptr<auth::Guard> guard;
  std::unique_ptr<limits::Limits> limits;
  std::unique_ptr<HealthMonitor> monitor;
  std::unique_ptr<HoldKeeper> holds;
  StreamSet streams;
  CallTracker calls;
  std::unique_ptr<ConfigHandlers> config_handlers;
  std::unique_ptr<RegistryHandlers> registry_handlers;
  std::unique_ptr<wire::MethodTable> methods;
  std::vector<api::Route> api_routes;
  consul_api::Waiters consul_waiters;
  Router router;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<wire::GrpcServer> grpc;

  std::atomic<bool> draining{false};
  // Calls that begin now are refused.
  std::atomic<bool> stopping{false};
  bool drained = false;
};

Readiness Gateway::Parts::Ready() const {
  if (draining) return {false, "draining"};
  const StoreHealth health = monitor->Latest();
  if (health.up && health.known_leader) return {true, "the store answers"};
  if (hub->HasState()) return {true, "the store cannot be used; what is known is served as stale"};
  if (!health.asked) return {false, "the store has not answered yet"};
  return {false, health.up ? "the store has no leader and nothing is known yet"
                           : "the store cannot be reached and nothing is known yet"};
}

absl::StatusOr<std::shared_ptr<tls::Endpoint>> Gateway::Parts::OpenTls(const char* listener, const tls::Files& files,
                                                                       const char* protocol,
                                                                       tls::HandshakeBudget* handshakes) {
  if (files.cert_file.empty()) return nullptr;
  return tls::Endpoint::Open({{files, listener, protocol}}, handshakes, &scheduler, metrics.tls_reporter(listener));
}

HttpFilter Gateway::Parts::RefuseWhileStopping() {
  return [this](const HttpRequest& request, HttpReply reply) -> HttpReply {
    const bool refused = stopping && IsApi(request.path) && !absl::StartsWith(request.path, "/api/v1/watch/");
    if (!refused) return reply;
    reply(ErrorResponse(WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                                                 "the gateway is draining; call elsewhere or in a moment"),
                                       kRetryAfterDrain)));
    return nullptr;
  };
}

absl::StatusOr<std::unique_ptr<auth::Authorizer>> Gateway::Parts::MakeAuthorizer() {
  switch (options.auth.value_or(AuthMode::kNone)) {
    case AuthMode::kNone:
      break;
    case AuthMode::kConsul: {
      auth::ConsulAuthorizerOptions consul;
      consul.grace = options.auth_grace;
      return std::make_unique<auth::ConsulAuthorizer>(backend.get(), &scheduler, metrics.auth_reporter(), consul);
    }
    case AuthMode::kMtls: {
      // Every backend is one; what a test puts in its place may not be.
      auto* const directory = dynamic_cast<consul::InstanceDirectory*>(backend.get());
      if (directory == nullptr) return absl::InternalError("the backend does not tell whose an instance is");
      auto list = auth::AllowListFile::Open(options.auth_mtls_file, &scheduler, metrics.allow_list_reporter());
      if (!list.ok()) return list.status();
      allow_list = *std::move(list);
      return std::make_unique<auth::ListAuthorizer>(allow_list, directory, &scheduler, metrics.auth_reporter());
    }
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const Options& options, const BackendFactory& make_backend) {
  auto parts = std::make_unique<Parts>(options);
  Parts* p = parts.get();
  // From here on its destructor cleans up, also after an error.
  std::unique_ptr<Gateway> gateway(new Gateway(std::move(parts)));

  const auto grpc_tls = p->OpenTls("grpc", GrpcTlsFiles(options), "h2", &p->grpc_handshakes);
  if (!grpc_tls.ok()) return grpc_tls.status();
  const auto http_tls = p->OpenTls("http", HttpTlsFiles(options), "http/1.1", &p->http_handshakes);
  if (!http_tls.ok()) return http_tls.status();
  auto backend = make_backend(options, &p->scheduler, &p->consul_events);
  if (!backend.ok()) return backend.status();
  p->backend = *std::move(backend);
  consul::HubOptions hub_options = HubOptionsOf(options);
  if (options.backend == BackendKind::kConsul) {
    p->metrics.SetMaxConsulConnections(options.consul_max_connections);
    p->state_store = MakeStateStore(options.data_dir, &p->scheduler, p->metrics.state_store_reporter());
    hub_options.store = p->state_store.get();
  }
  p->hub = std::make_unique<consul::Hub>(p->backend.get(), &p->scheduler, p->metrics.watch_reporter(), hub_options);
  p->monitor = std::make_unique<HealthMonitor>(p->backend.get(), &p->scheduler, p->metrics.store_reporter());
  p->consul_events.SetListener([p] { p->monitor->AskNow(); });

  auto authorizer = p->MakeAuthorizer();
  if (!authorizer.ok()) return authorizer.status();
  if (*authorizer != nullptr) {
    p->guard = std::make_unique<auth::Guard>(p->hub.get(), &p->scheduler, *std::move(authorizer), auth::GuardOptions());
  }
  if (p->allow_list != nullptr) {
    p->allow_list->SetListener([p](const auth::AllowList& before, const auth::AllowList& now) {
      p->guard->RecheckAll(
          [&](const auth::Identity& identity) { return !auth::SameRules(before, now, identity.name()); });
    });
  }
  p->limits = std::make_unique<limits::Limits>(&p->scheduler, p->metrics.limit_reporter(), LimitsOf(options));
  p->config_handlers = std::make_unique<ConfigHandlers>(p->backend.get(), p->hub.get(), p->guard.get());
  p->holds = std::make_unique<HoldKeeper>(p->backend.get(), &p->scheduler, p->metrics.hold_reporter(),
                                          std::random_device()(), CheckAllowOf(options));
  p->registry_handlers =
      std::make_unique<RegistryHandlers>(p->backend.get(), p->hub.get(), p->holds.get(), p->guard.get());
  p->methods = std::make_unique<wire::MethodTable>(
      wire::NativeEnvironment{&p->scheduler, p->metrics.watch_reporter(), &p->streams, &p->calls, p->guard.get(),
                              p->limits.get()},
      p->metrics.rpc_reporter());
  wire::AddConfigMethods(p->config_handlers.get(), p->methods.get());
  wire::AddRegistryMethods(p->registry_handlers.get(), p->holds.get(), p->methods.get());

  AddAdminRoutes(
      {[p] { return p->Ready(); }, [p] { return p->metrics.Scrape(); }, std::string(metrics::Registry::kContentType)},
      &p->router);
  if (options.http_api) {
    const api::Environment api_environment = {&p->scheduler,  p->metrics.watch_reporter(), &p->streams,
                                              &p->calls,      p->metrics.rpc_reporter(),   p->guard.get(),
                                              p->limits.get()};
    api::AddConfigRoutes(p->config_handlers.get(), api_environment, &p->api_routes, &p->router);
    api::AddRegistryRoutes(p->registry_handlers.get(), api_environment, &p->api_routes, &p->router);
    api::AddWatchRoutes(p->config_handlers.get(), p->registry_handlers.get(), api_environment, &p->api_routes,
                        &p->router);
    if (options.http_consul_api) {
      consul_api::Sources sources;
      sources.backend = p->backend.get();
      sources.hub = p->hub.get();
      // Null with the embedded store.
      sources.relay = dynamic_cast<consul::Relay*>(p->backend.get());
      sources.environment = api_environment;
      sources.waiters = &p->consul_waiters;
      sources.check_allow = CheckAllowOf(options);
      sources.config = p->config_handlers.get();
      sources.registry = p->registry_handlers.get();
      consul_api::AddRoutes(sources, &p->router);
    }
    if (!options.http_cors_origins.empty()) p->router.AddFilter(CorsFilter(options.http_cors_origins));
    api::AddOpenApiRoute(p->api_routes, Version(), &p->router);
  }
  if (IsLoopback(options.http_listen) && p->guard == nullptr && options.http_tls_cert_file.empty()) {
    p->router.AddFilter(LoopbackHostFilter());
  }
  p->router.AddFilter(p->RefuseWhileStopping());
  p->router.AddFilter(GzipFilter());
  HttpServerOptions http_options;
  http_options.listen = options.http_listen;
  http_options.stream_write_timeout = options.watch_write_timeout;
  http_options.tls = *http_tls;
  const int http_connections = HttpConnections(options);
  http_options.max_connections = http_connections;
  http_options.reporter = p->metrics.http_connection_reporter();
  auto http = HttpServer::Start(http_options, &p->router);
  if (!http.ok()) return http.status();
  p->http = *std::move(http);

  std::vector<wire::NamedService> services;
  // For reflection and the health service alone: their methods are in the table.
  services.push_back({v1::ConfigService::service_full_name(), std::make_unique<v1::ConfigService::CallbackService>()});
  services.push_back(
      {v1::RegistryService::service_full_name(), std::make_unique<v1::RegistryService::CallbackService>()});
  wire::GrpcServerOptions grpc_options = GrpcOptionsOf(options, http_connections, p->metrics.connection_reporter());
  grpc_options.front.connection.tls = *grpc_tls;
  grpc_options.limits = p->limits.get();
  auto grpc = wire::GrpcServer::Start(grpc_options, p->methods.get(), std::move(services), &p->scheduler,
                                      p->metrics.watch_reporter(), &p->calls);
  if (!grpc.ok()) return grpc.status();
  p->grpc = *std::move(grpc);
  p->monitor->Start();

  for (const std::string& address : gateway->grpc_addresses()) {
    WarnOfOpenPort(address, options.auth.value_or(AuthMode::kNone), GrpcTlsFiles(options));
  }
  if (options.http_api) {
    WarnOfOpenPort(gateway->http_address(), options.auth.value_or(AuthMode::kNone), HttpTlsFiles(options));
  }
  const std::string grpc_addresses = absl::StrJoin(gateway->grpc_addresses(), ",");
  Log(LogLevel::kInfo, "serving",
      {{"version", Version()},
       {"backend", NameOf(options.backend)},
       {"grpc.address", grpc_addresses},
       {"http.address", gateway->http_address()}});
  return gateway;
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() { Drain(); }

const std::vector<std::string>& Gateway::grpc_addresses() const { return parts_->grpc->addresses(); }
const std::string& Gateway::http_address() const { return parts_->http->address(); }

void Gateway::Drain() {
  Parts& p = *parts_;
  if (std::exchange(p.drained, true)) return;
  const absl::Time begin = absl::Now();
  p.draining = true;
  if (p.grpc != nullptr) {
    Log(LogLevel::kInfo, "draining", {{"streams", static_cast<int64_t>(p.streams.size())}});
    p.grpc->SetServing(false);
    absl::SleepFor(p.options.drain_delay);
    p.streams.EndAll(
        WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                                 "the gateway is draining; open the stream again, elsewhere or in a moment"),
                       kRetryAfterDrain));
    p.stopping = true;
    p.consul_waiters.EndAll();
    p.http->BeginDrain();
    // A quarter of what is left stays for failing the rest and stopping.
    p.grpc->BeginShutdown(begin + p.options.drain_delay + 0.75 * (p.options.drain_timeout - p.options.drain_delay));
    if (!p.grpc->WaitForCalls()) {
      Log(LogLevel::kWarn, "draining: calls are cut because time is up", {{"calls", p.calls.open()}});
    }
  }
  // Held instances stay registered: their callers go on elsewhere.
  if (p.holds != nullptr) p.holds->Stop();
  if (p.monitor != nullptr) p.monitor->Stop();
  if (p.hub != nullptr) p.hub->Shutdown();
  if (p.backend != nullptr) p.backend->Shutdown();
  // After the backend: its last answers are saved, too.
  if (p.state_store != nullptr) p.state_store->Close();
  if (p.grpc != nullptr) p.grpc->FinishShutdown();
  if (p.http != nullptr) p.http->Stop();
  p.scheduler.Stop();
  if (p.grpc != nullptr) {
    Log(LogLevel::kInfo, "stopped", {{"took_ms", absl::ToDoubleMilliseconds(absl::Now() - begin)}});
  }
}

}  // namespace meshgate::server
