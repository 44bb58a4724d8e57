#include "consul/embedded/grpc_prober.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace meshgate::consul::embedded {

namespace health_v1 = grpc::health::v1;

struct GrpcProber::Probing {
  Callback done;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<health_v1::Health::Stub> stub;
  grpc::ClientContext context;
  health_v1::HealthCheckRequest request;
  health_v1::HealthCheckResponse response;
};

namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& address, bool use_tls) {
  grpc::ChannelArguments arguments;
  // Of its own, so that a probe neither waits for the backoff of an earlier one nor reuses its connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetUserAgentPrefix("meshgate-health-check");
  return grpc::CreateCustomChannel(address, use_tls ? grpc::SslCredentials({}) : grpc::InsecureChannelCredentials(),
                                   arguments);
}

ProbeResult ResultOf(const grpc::Status& status, const health_v1::HealthCheckResponse& response) {
  if (!status.ok()) {
    return {Health::kCritical,
            absl::StrCat("gRPC ", static_cast<int>(status.error_code()), " ", status.error_message())};
  }
  const bool serving = response.status() == health_v1::HealthCheckResponse::SERVING;
  return {serving ? Health::kPassing : Health::kCritical,
          health_v1::HealthCheckResponse::ServingStatus_Name(response.status())};
}

}  // namespace

GrpcProber::~GrpcProber() { Shutdown(); }

void GrpcProber::Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) {
  const auto* probe = std::get_if<GrpcProbe>(&check.probe);
  if (probe == nullptr) return done({Health::kCritical, "not a gRPC check"});
  auto probing = std::make_shared<Probing>();
  probing->done = std::move(done);
  bool stopped;
  {
    MutexLock lock(mu_);
    stopped = shut_down_;
    if (!stopped) active_.insert(probing);
  }
  if (stopped) return probing->done({Health::kCritical, "the prober is stopped"});
  const size_t slash = probe->target.find('/');
  if (slash != std::string::npos) probing->request.set_service(probe->target.substr(slash + 1));
  probing->channel = Connect(probe->target.substr(0, slash), probe->use_tls);
  probing->stub = health_v1::Health::NewStub(probing->channel);
  probing->context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  probing->stub->async()->Check(&probing->context, &probing->request, &probing->response,
                                [this, probing](grpc::Status status) {
                                  probing->done(ResultOf(status, probing->response));
                                  MutexLock lock(mu_);
                                  active_.erase(probing);
                                  if (active_.empty()) idle_.NotifyAll();
                                });
}

void GrpcProber::Shutdown() {
  std::unordered_set<std::shared_ptr<Probing>> cancelled;
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    cancelled = active_;
  }
  // Not under the lock: gRPC may run the callback right here.
  for (const auto& probing : cancelled) probing->context.TryCancel();
  cancelled.clear();
  MutexLock lock(mu_);
  while (!active_.empty()) idle_.Wait(mu_);
}

}  // namespace meshgate::consul::embedded
