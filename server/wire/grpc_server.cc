#include "server/wire/grpc_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/channelz_service_plugin.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"
#include "server/limits/admission.h"
#include "server/log.h"

namespace meshgate::server::wire {
namespace {

// Long enough for statuses that are on their way to be read before connections are cut.
constexpr absl::Duration kGraceAfterLastCall = absl::Milliseconds(250);

// gRPC calls trouble of a single call an error; for us it is a warning.
void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarn : LogLevel::kDebug;
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

absl::Status AdmitForwarded(const Stream& stream, limits::Limits* limits) {
  Caller caller;
  caller.peer = stream.peer();
  caller.tls_identity = stream.tls_identity();
  return limits::Admission(nullptr, limits).Admit(caller);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              const MethodTable* methods,
                                                              std::vector<NamedService> services, Scheduler* clock,
                                                              consul::WatchReporter* watches, CallTracker* calls) {
  SetUpGrpcOnce();
  // Without a port of its own.
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.forwarder.max_message_bytes));
  for (const NamedService& s : services) builder.RegisterService(s.service.get());
  std::unique_ptr<grpc::Server> inner = builder.BuildAndStart();
  if (inner == nullptr) return absl::UnavailableError("gRPC does not start; its lines at --log_level=debug say why");
  for (const NamedService& s : services) inner->GetHealthCheckService()->SetServingStatus(s.name, true);

  std::unique_ptr<GrpcServer> server(
      new GrpcServer(std::move(services), std::move(inner), methods, options.forwarder, calls));
  auto front = Front::Start(options.front, clock, watches, [s = server.get(), limits = options.limits](Stream* stream) {
    if (const CallFactory* native = s->methods_->Find(stream->head().path)) return (*native)(stream);
    if (absl::Status admitted = AdmitForwarded(*stream, limits); !admitted.ok()) {
      stream->Finish(EndingOf(admitted));
      return std::shared_ptr<Call>();
    }
    return s->forwarder_.Start(stream);
  });
  if (!front.ok()) return front.status();
  server->front_ = *std::move(front);
  return server;
}

GrpcServer::GrpcServer(std::vector<NamedService> services, std::unique_ptr<grpc::Server> server,
                       const MethodTable* methods, const Forwarder::Options& options, CallTracker* calls)
    : services_(std::move(services)),
      server_(std::move(server)),
      methods_(methods),
      calls_(calls),
      forwarder_(server_.get(), options) {}

GrpcServer::~GrpcServer() {
  if (front_ == nullptr) {
    server_->Shutdown();
    return;
  }
  if (!shutting_down_) BeginShutdown(absl::Now());
  FinishShutdown();
}

void GrpcServer::SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

void GrpcServer::BeginShutdown(absl::Time deadline) {
  shutting_down_ = true;
  deadline_ = deadline;
  front_->BeginDrain();
}

bool GrpcServer::WaitForCalls() { return calls_->WaitIdle(deadline_); }

void GrpcServer::FinishShutdown() {
  if (std::exchange(shut_down_, true)) return;
  calls_->WaitIdle(deadline_);
  const absl::Time until = std::min(absl::Now() + kGraceAfterLastCall, std::max(deadline_, absl::Now()));
  // Cancels what has not ended by then, and the callers are told.
  if (!front_->WaitForConnections(until)) {
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    front_->WaitForConnections(absl::Now() + kGraceAfterLastCall);
  }
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
  // The loops run until gRPC has called back for the last time, and stay: what is dropped elsewhere later may still
  // want to be answered there.
  front_->CloseConnections();
  forwarder_.WaitForCalls();
  front_->Stop();
}

}  // namespace meshgate::server::wire
