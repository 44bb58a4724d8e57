#include "metrics/registry.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "consul/base/mutex.h"
#include "metrics/allow_list_metrics.h"
#include "metrics/caller_metrics.h"
#include "metrics/consul_metrics.h"
#include "metrics/families.h"
#include "metrics/process_collector.h"
#include "metrics/tls_metrics.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace meshgate::metrics {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Labels;

constexpr std::array<std::string_view, kRpcCodes> kRpcCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

// The default of Prometheus' client libraries, which go-grpc-prometheus uses.
Buckets RpcBuckets() { return {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}; }

class RpcMethodMetrics final : public RpcMethodReporter {
 public:
  void OnStarted() override { started->Increment(); }
  void OnReceived() override { received->Increment(); }
  void OnSent(int64_t messages) override { sent->Increment(static_cast<double>(messages)); }
  void OnHandled(int code, absl::Duration took) override {
    constexpr int kUnknown = 2;
    handled[code >= 0 && code < kRpcCodes ? code : kUnknown]->Increment();
    seconds->Observe(absl::ToDoubleSeconds(took));
  }

  Counter* started;
  Counter* received;
  Counter* sent;
  std::array<Counter*, kRpcCodes> handled;
  Histogram* seconds;
};

class RpcMetrics final : public RpcReporter {
 public:
  explicit RpcMetrics(prometheus::Registry& r)
      : started_(Counters(r, "grpc_server_started_total", "Calls started on the server.")),
        handled_(Counters(r, "grpc_server_handled_total",
                          "Calls completed on the server, whether they succeeded or failed.")),
        received_(Counters(r, "grpc_server_msg_received_total", "Messages received from callers.")),
        sent_(Counters(r, "grpc_server_msg_sent_total", "Messages sent to callers.")),
        seconds_(Histograms(r, "grpc_server_handling_seconds", "Time from a call's start to its end, in seconds.")) {}

  RpcMethodReporter* Method(Type type, std::string_view service, std::string_view method) override {
    static constexpr const char* kTypes[] = {"unary", "server_stream", "bidi_stream"};
    const Labels labels = {{"grpc_type", kTypes[static_cast<int>(type)]},
                           {"grpc_service", std::string(service)},
                           {"grpc_method", std::string(method)}};
    MutexLock lock(mu_);
    auto [it, added] = methods_.try_emplace(labels);
    RpcMethodMetrics& m = it->second;
    if (!added) return &m;
    m.started = &started_.Add(labels);
    m.received = &received_.Add(labels);
    m.sent = &sent_.Add(labels);
    m.seconds = &seconds_.Add(labels, RpcBuckets());
    for (int code = 0; code < kRpcCodes; ++code) {
      Labels with_code = labels;
      with_code["grpc_code"] = std::string(RpcCodeName(code));
      m.handled[code] = &handled_.Add(with_code);
    }
    return &m;
  }

 private:
  Family<Counter>& started_;
  Family<Counter>& handled_;
  Family<Counter>& received_;
  Family<Counter>& sent_;
  Family<Histogram>& seconds_;

  Mutex mu_;
  std::map<Labels, RpcMethodMetrics> methods_ ABSL_GUARDED_BY(mu_);  // A map: addresses stay.
};

}  // namespace

std::string_view RpcCodeName(int code) {
  constexpr int kUnknown = 2;
  return kRpcCodeNames[code >= 0 && code < kRpcCodes ? code : kUnknown];
}

struct Registry::Impl {
  prometheus::Registry registry;
  ProcessCollector process;
  BackendMetrics backend{registry};
  StoreMetrics store{registry};
  WatchMetrics watch{registry};
  RpcMetrics rpc{registry};
  HoldMetrics hold{registry};
  ConnectionMetrics connections{registry};
  HttpConnectionMetrics http_connections{registry};
  LimitMetrics limits{registry};
  TlsMetrics tls{&registry};
  std::unique_ptr<StateStoreMetrics> state_store;
  std::unique_ptr<AuthMetrics> auth;
  std::unique_ptr<AllowListMetrics> allow_list;
};

Registry::Registry(std::string_view version, std::string_view backend) : impl_(std::make_unique<Impl>()) {
  Gauges(impl_->registry, "meshgate_build_info", "Always 1; its labels say what is running.")
      .Add({{"version", std::string(version)}, {"backend", std::string(backend)}})
      .Set(1);
}

Registry::~Registry() = default;

consul::BackendReporter* Registry::backend_reporter() { return &impl_->backend; }
void Registry::SetMaxConsulConnections(int max) { impl_->backend.SetMaxConnections(max); }
consul::StoreReporter* Registry::store_reporter() { return &impl_->store; }
consul::WatchReporter* Registry::watch_reporter() { return &impl_->watch; }
consul::StateStoreReporter* Registry::state_store_reporter() {
  if (impl_->state_store == nullptr) impl_->state_store = std::make_unique<StateStoreMetrics>(impl_->registry);
  return impl_->state_store.get();
}
RpcReporter* Registry::rpc_reporter() { return &impl_->rpc; }
AuthReporter* Registry::auth_reporter() {
  if (impl_->auth == nullptr) impl_->auth = std::make_unique<AuthMetrics>(impl_->registry);
  return impl_->auth.get();
}
AllowListReporter* Registry::allow_list_reporter() {
  if (impl_->allow_list == nullptr) impl_->allow_list = std::make_unique<AllowListMetrics>(impl_->registry);
  return impl_->allow_list.get();
}
HoldReporter* Registry::hold_reporter() { return &impl_->hold; }
LimitReporter* Registry::limit_reporter() { return &impl_->limits; }
ConnectionReporter* Registry::connection_reporter() { return &impl_->connections; }
ConnectionReporter* Registry::http_connection_reporter() { return &impl_->http_connections; }
TlsReporter* Registry::tls_reporter(std::string_view listener) { return impl_->tls.Of(listener); }

std::string Registry::Scrape() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  std::vector<prometheus::MetricFamily> process = impl_->process.Collect();
  families.insert(families.end(), std::make_move_iterator(process.begin()), std::make_move_iterator(process.end()));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

}  // namespace meshgate::metrics
