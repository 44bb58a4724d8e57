#include "server/grpc/grpc_server.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/channelz_service_plugin.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

// Long enough for statuses that are on their way to be read before connections are cut.
constexpr absl::Duration kGraceAfterLastCall = absl::Milliseconds(250);

std::atomic<bool> listener_dead{false};

// While a server starts on this thread: gRPC says at length why a port cannot be had, and so does Start() in a line.
thread_local bool starting = false;

// gRPC calls trouble of a single connection an error; for us it is a warning.
void LogFromGrpc(gpr_log_func_args* args) {
  // gRPC 1.51 closes a listener when accept() fails, out of file descriptors for one, and tells nobody but its log.
  if (args->severity == GPR_LOG_SEVERITY_ERROR && absl::StartsWith(args->message, "Failed accept4")) {
    listener_dead = true;
  }
  const bool trouble = args->severity == GPR_LOG_SEVERITY_ERROR && !starting;
  const LogLevel level = trouble ? LogLevel::kWarn : LogLevel::kDebug;
  Log(level, absl::StrCat("grpc: ", args->message));
}

// For the whole process, before the first server.
void SetUpGrpcOnce() {
  static const bool done = [] {
    gpr_set_log_function(LogFromGrpc);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    return true;
  }();
  static_cast<void>(done);
}

int Millis(absl::Duration d) { return static_cast<int>(absl::ToInt64Milliseconds(d)); }

// "127.0.0.1:0" with the port that was chosen.
std::string Bound(const std::string& address, int port) {
  if (absl::StartsWith(address, "unix:")) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              const std::vector<NamedService>& services,
                                                              CallTracker* calls) {
  SetUpGrpcOnce();
  grpc::ServerBuilder builder;
  std::vector<int> ports(options.listen.size());
  for (size_t i = 0; i < options.listen.size(); ++i) {
    builder.AddListeningPort(options.listen[i], grpc::InsecureServerCredentials(), &ports[i]);
  }
  // Two processes on one port would share its connections without anybody noticing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options.max_metadata_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Millis(options.least_client_ping_interval));
  builder.SetMaxReceiveMessageSize(options.max_request_bytes);
  grpc::ResourceQuota quota("meshgate");
  quota.Resize(options.max_memory_bytes);
  builder.SetResourceQuota(quota);
  for (const NamedService& s : services) builder.RegisterService(s.service);

  starting = true;
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  starting = false;
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i] > 0) continue;
    return absl::UnavailableError(absl::StrCat("cannot listen for gRPC on ", options.listen[i],
                                               ": in use, or not an address of this host (--grpc_listen)"));
  }
  if (server == nullptr) return absl::UnavailableError("gRPC does not start; its lines at --log_level=debug say why");
  std::vector<std::string> addresses;
  for (size_t i = 0; i < ports.size(); ++i) addresses.push_back(Bound(options.listen[i], ports[i]));
  auto* health = server->GetHealthCheckService();
  for (const NamedService& s : services) health->SetServingStatus(s.name, true);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(server), std::move(addresses), calls));
}

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server, std::vector<std::string> addresses, CallTracker* calls)
    : server_(std::move(server)), addresses_(std::move(addresses)), calls_(calls) {}

GrpcServer::~GrpcServer() {
  if (!shutdown_.joinable()) BeginShutdown(absl::Now());
  FinishShutdown();
}

bool GrpcServer::ListenerDead() { return listener_dead; }

void GrpcServer::SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

void GrpcServer::BeginShutdown(absl::Time deadline) {
  deadline_ = deadline;
  shutdown_ = std::thread([this] {
    server_->Shutdown(absl::ToChronoTime(deadline_));
    MutexLock lock(mu_);
    shut_down_ = true;
    changed_.NotifyAll();
  });
}

bool GrpcServer::WaitForCalls() { return calls_->WaitIdle(deadline_); }

void GrpcServer::FinishShutdown() {
  if (!shutdown_.joinable()) return;
  calls_->WaitIdle(deadline_);
  bool cut;
  {
    const absl::Time until = std::min(absl::Now() + kGraceAfterLastCall, std::max(deadline_, absl::Now()));
    MutexLock lock(mu_);
    while (!shut_down_ && absl::Now() < until) changed_.WaitUntil(mu_, until);
    cut = !shut_down_;
  }
  if (cut) grpc_server_cancel_all_calls(server_->c_server());
  shutdown_.join();
}

}  // namespace meshgate::server
