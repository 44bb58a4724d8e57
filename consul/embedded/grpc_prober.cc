#include "consul/embedded/grpc_prober.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace meshgate::consul::embedded {

namespace health_v1 = grpc::health::v1;

struct GrpcProber::Probing {
  Callback done;
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
  // Said, so that no host is taken for a scheme: "unix:80".
  return grpc::CreateCustomChannel("dns:///" + address,
                                   use_tls ? grpc::SslCredentials({}) : grpc::InsecureChannelCredentials(), arguments);
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

GrpcProber::GrpcProber() : reaper_([this] { Reap(); }) { pthread_setname_np(reaper_.native_handle(), "grpc-prober"); }

GrpcProber::~GrpcProber() { Shutdown(); }

void GrpcProber::Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) {
  const auto* probe = std::get_if<GrpcProbe>(&check.probe);
  if (probe == nullptr) return done({Health::kCritical, "not a gRPC check"});
  auto owned = std::make_unique<Probing>();
  Probing* probing = owned.get();
  const size_t slash = probe->target.find('/');
  if (slash != std::string::npos) probing->request.set_service(probe->target.substr(slash + 1));
  probing->stub = health_v1::Health::NewStub(Connect(probe->target.substr(0, slash), probe->use_tls));
  probing->context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  {
    MutexLock lock(mu_);
    if (!shut_down_) {
      probing->done = std::move(done);
      active_.emplace(probing, std::move(owned));
    }
  }
  if (owned) return done({Health::kCritical, "the prober is stopped"});
  // Cancelling before this is remembered by the context.
  probing->stub->async()->Check(
      &probing->context, &probing->request, &probing->response,
      [this, probing](grpc::Status status) { OnDone(probing, ResultOf(status, probing->response)); });
}

void GrpcProber::OnDone(Probing* probing, ProbeResult result) {
  probing->done(std::move(result));
  MutexLock lock(mu_);
  auto it = active_.find(probing);
  ended_.push_back(std::move(it->second));
  active_.erase(it);
  changed_.NotifyAll();
}

void GrpcProber::Shutdown() {
  MutexLock only(shutdown_mu_);
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    changed_.NotifyAll();
  }
  if (reaper_.joinable()) reaper_.join();
}

void GrpcProber::Reap() {
  bool cancelled = false;
  while (true) {
    std::vector<Owned> ended;
    std::vector<Probing*> cancel;
    {
      MutexLock lock(mu_);
      while (ended_.empty() && (!shut_down_ || (cancelled && !active_.empty()))) changed_.Wait(mu_);
      ended.swap(ended_);
      if (shut_down_ && !cancelled) {
        cancelled = true;
        for (const auto& [probing, owned] : active_) cancel.push_back(probing);
      } else if (shut_down_ && active_.empty() && ended.empty()) {
        return;
      }
    }
    // Not under the lock, as gRPC may run the callback right here; this thread alone destroys them.
    for (Probing* probing : cancel) probing->context.TryCancel();
  }
}

}  // namespace meshgate::consul::embedded
