#include "tests/fault/subscribers.h"

#include <atomic>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/fault/consul_client.h"

namespace meshgate::fault {
namespace {

// Between a stream's end and the next one.
constexpr absl::Duration kPauseBetweenStreams = absl::Milliseconds(30);

std::string HealthName(v1::HealthStatus status) {
  switch (status) {
    case v1::HEALTH_STATUS_PASSING:
      return "passing";
    case v1::HEALTH_STATUS_WARNING:
      return "warning";
    case v1::HEALTH_STATUS_CRITICAL:
      return "critical";
    case v1::HEALTH_STATUS_MAINTENANCE:
      return "maintenance";
    default:
      return "unspecified";
  }
}

Event ToEvent(const v1::ConfigEvent& event) {
  const v1::ConfigEntry& entry = event.entry();
  return {event.type() == v1::ConfigEvent::TYPE_PUT, entry.key(),
          Held{FromValue(entry.key(), entry.value()), "", entry.create_index(), entry.modify_index()}};
}

Event ToEvent(const v1::ServiceEvent& event) {
  const v1::DiscoveredInstance& instance = event.instance();
  const auto& meta = instance.instance().meta();
  const auto version = meta.find(kVersionMeta);
  return {event.type() == v1::ServiceEvent::TYPE_PUT, instance.instance().id(),
          Held{version == meta.end() ? std::nullopt : ParseInstanceVersion(version->second),
               HealthName(instance.status()), 0, instance.modify_index()}};
}

auto Open(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context, const Target& target,
          const std::string& token, v1::WatchConfigResponse*) {
  v1::WatchConfigRequest request;
  if (target.kind == Kind::kKey) {
    request.set_key(target.name);
  } else {
    request.set_prefix(target.name);
  }
  request.set_resume_token(token);
  return v1::ConfigService::NewStub(channel)->WatchConfig(context, request);
}

auto Open(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context, const Target& target,
          const std::string& token, v1::WatchServiceResponse*) {
  v1::WatchServiceRequest request;
  request.set_service(target.name);
  request.set_include_unhealthy(true);
  request.set_resume_token(token);
  return v1::RegistryService::NewStub(channel)->WatchService(context, request);
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

class Subscribers::One {
 public:
  One(History* history, Spec spec)
      : history_(history),
        spec_(std::move(spec)),
        number_(history->AddSubscriber(spec_.name, spec_.target)),
        random_(static_cast<unsigned>(number_)) {
    for (const Gateway& gateway : spec_.gateways) channels_.push_back(Connect(gateway.address));
    thread_ = std::thread([this] { Run(); });
  }

  ~One() { thread_.join(); }

  void Stop() {
    MutexLock lock(mu_);
    stopped_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.NotifyAll();
  }

  void SetHurry(bool hurry) {
    MutexLock lock(mu_);
    hurry_ = hurry;
    changed_.NotifyAll();
  }

  void SetAway(bool away) {
    if (spec_.leaves_after == 0) return;
    MutexLock lock(mu_);
    away_ = away;
    if (away && context_ != nullptr) context_->TryCancel();
    changed_.NotifyAll();
    while (away && context_ != nullptr) changed_.Wait(mu_);
  }

 private:
  void Run() {
    while (true) {
      grpc::ClientContext context;
      // Waits for a gateway that is being restarted.
      context.set_wait_for_ready(true);
      {
        MutexLock lock(mu_);
        while (away_ && !stopped_) changed_.Wait(mu_);
        if (stopped_) return;
        context_ = &context;
      }
      const size_t gateway = spec_.leaves_after == 0 ? 0 : random_() % channels_.size();
      if (spec_.target.kind == Kind::kService) {
        Watch<v1::WatchServiceResponse>(context, gateway);
      } else {
        Watch<v1::WatchConfigResponse>(context, gateway);
      }
      MutexLock lock(mu_);
      context_ = nullptr;
      changed_.NotifyAll();
      if (!stopped_) changed_.WaitUntil(mu_, absl::Now() + kPauseBetweenStreams);
    }
  }

  template <typename WatchResponse>
  void Watch(grpc::ClientContext& context, size_t gateway) {
    const bool resumed = !token_.empty();
    int left =
        spec_.leaves_after == 0 ? -1 : 1 + static_cast<int>(random_() % static_cast<unsigned>(spec_.leaves_after));
    WatchResponse message;
    auto stream = Open(channels_[gateway], &context, spec_.target, token_, &message);
    ++stream_;
    int process = -1;
    while (left-- != 0 && stream->Read(&message)) {
      Response response;
      response.stream = stream_;
      // Of the process that began the stream: what it sent before its end may be read when the next one is there.
      if (process < 0) process = static_cast<int>(gateway) * 1000 + *spec_.gateways[gateway].generation;
      response.gateway = process;
      response.resumed = resumed;
      response.snapshot = message.snapshot();
      response.stale = message.stale();
      response.index = message.index();
      for (const auto& event : message.events()) response.events.push_back(ToEvent(event));
      history_->Received(number_, std::move(response));
      // A message that knows no state yet carries none; what is held stands.
      if (!message.resume_token().empty()) token_ = message.resume_token();
      if (spec_.pause > absl::ZeroDuration()) {
        MutexLock lock(mu_);
        if (!stopped_ && !hurry_) changed_.WaitUntil(mu_, absl::Now() + spec_.pause);
      }
    }
    context.TryCancel();
    stream->Finish();
  }

  History* const history_;
  const Spec spec_;
  const int number_;
  std::mt19937 random_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  int stream_ = 0;
  std::string token_;

  Mutex mu_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool away_ ABSL_GUARDED_BY(mu_) = false;
  bool hurry_ ABSL_GUARDED_BY(mu_) = true;
  // Of the stream that is open.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::thread thread_;
};

Subscribers::Subscribers(History* history) : history_(history) {}

Subscribers::~Subscribers() { Stop(); }

void Subscribers::Add(const Spec& spec) { all_.push_back(std::make_unique<One>(history_, spec)); }

void Subscribers::StayAway() {
  for (auto& one : all_) one->SetAway(true);
}

void Subscribers::ComeBack() {
  for (auto& one : all_) one->SetAway(false);
}

void Subscribers::SetHurry(bool hurry) {
  for (auto& one : all_) one->SetHurry(hurry);
}

void Subscribers::Stop() {
  for (auto& one : all_) one->Stop();
  all_.clear();
}

}  // namespace meshgate::fault
