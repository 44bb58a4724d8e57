#include "metrics/registry.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "consul/base/mutex.h"
#include "metrics/process_collector.h"
#include "metrics/tls_metrics.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace meshgate::metrics {
namespace {

using consul::Endpoint;
using consul::kEndpoints;
using consul::kTargetKinds;
using consul::TargetKind;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using Buckets = Histogram::BucketBoundaries;

constexpr std::array<std::string_view, kRpcCodes> kRpcCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

// The default of Prometheus' client libraries, which go-grpc-prometheus uses.
Buckets RpcBuckets() { return {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}; }

// Plain calls take milliseconds; blocking queries up to ten minutes and a sixteenth.
Buckets ConsulBuckets() {
  return {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
}

Buckets PropagationBuckets() {
  return {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
}

TargetKind KindAt(int i) { return static_cast<TargetKind>(i); }
Labels KindLabel(int i) { return {{"kind", std::string(ToString(KindAt(i)))}}; }
size_t At(TargetKind kind) { return static_cast<size_t>(kind); }

// An HTTP status as a label. A fixed set: what a broken proxy makes up must not become new series.
struct CodeLabel {
  int code;
  const char* label;
};
constexpr CodeLabel kConsulCodes[] = {{0, "none"},  {200, "200"}, {400, "400"}, {401, "401"},
                                      {403, "403"}, {404, "404"}, {409, "409"}, {413, "413"},
                                      {429, "429"}, {500, "500"}, {503, "503"}, {-1, "other"}};
constexpr size_t kConsulCodeCount = std::size(kConsulCodes);

size_t ConsulCodeIndex(int http_code) {
  for (size_t i = 0; i + 1 < kConsulCodeCount; ++i) {
    if (kConsulCodes[i].code == http_code) return i;
  }
  return kConsulCodeCount - 1;
}

Family<Counter>& Counters(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(r);
}
Family<Gauge>& Gauges(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(r);
}
Family<Histogram>& Histograms(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(r);
}

class BackendMetrics final : public consul::BackendReporter {
 public:
  explicit BackendMetrics(prometheus::Registry& r)
      : connections_(
            Gauges(r, "meshgate_consul_connections", "Open connections to Consul, idle ones included.").Add({})),
        max_connections_(Gauges(r, "meshgate_consul_connections_max",
                                "Most connections to Consul that may be open (--consul_max_connections); 0 without it.")
                             .Add({})),
        opened_(Counters(r, "meshgate_consul_breaker_opened_total",
                         "Times calls to Consul were stopped because it did not answer.")
                    .Add({})),
        agent_changes_(
            Counters(r, "meshgate_consul_agent_changes_total",
                     "Times another agent of --consul_address came into use because the one before was away.")
                .Add({})) {
    auto& breaker = Gauges(r, "meshgate_consul_breaker_state",
                           "1 for the state that calls to Consul are in: closed (they go out), open (it is away, they "
                           "fail at once), half_open (it is back, more and more go out); 0 for the others.");
    for (int i = 0; i < kBreakerStates; ++i) breaker_[i] = &breaker.Add({{"state", kBreakerNames[i]}});
    breaker_[static_cast<size_t>(Breaker::kClosed)]->Set(1);
    auto& requests =
        Counters(r, "meshgate_consul_requests_total",
                 "Requests sent to Consul by endpoint and HTTP status; \"none\" means that no answer came.");
    auto& durations = Histograms(r, "meshgate_consul_request_duration_seconds",
                                 "Time until Consul answered, in seconds, with the time that blocking queries waited.");
    for (int e = 0; e < kEndpoints; ++e) {
      const std::string endpoint(ToString(static_cast<Endpoint>(e)));
      for (size_t c = 0; c < kConsulCodeCount; ++c) {
        requests_[e][c] = &requests.Add({{"endpoint", endpoint}, {"code", kConsulCodes[c].label}});
      }
      durations_[e] = &durations.Add({{"endpoint", endpoint}}, ConsulBuckets());
    }
  }

  void OnRequest(Endpoint endpoint, int http_code, absl::Duration took) override {
    const size_t e = static_cast<size_t>(endpoint);
    requests_[e][ConsulCodeIndex(http_code)]->Increment();
    durations_[e]->Observe(absl::ToDoubleSeconds(took));
  }
  void OnConnections(int open) override { connections_.Set(open); }
  void OnBreaker(Breaker state) override {
    if (state == Breaker::kOpen) opened_.Increment();
    for (int i = 0; i < kBreakerStates; ++i) breaker_[i]->Set(i == static_cast<int>(state) ? 1 : 0);
  }
  void OnAgent(std::string_view) override { agent_changes_.Increment(); }
  void SetMaxConnections(int max) { max_connections_.Set(max); }

 private:
  static constexpr int kBreakerStates = 3;
  static constexpr const char* kBreakerNames[kBreakerStates] = {"closed", "half_open", "open"};

  Gauge& connections_;
  Gauge& max_connections_;
  Counter& opened_;
  Counter& agent_changes_;
  std::array<Gauge*, kBreakerStates> breaker_;
  std::array<std::array<Counter*, kConsulCodeCount>, kEndpoints> requests_;
  std::array<Histogram*, kEndpoints> durations_;
};

class StoreMetrics final : public consul::StoreReporter {
 public:
  explicit StoreMetrics(prometheus::Registry& r)
      : up_(Gauges(r, "meshgate_consul_up", "Whether Consul answered when it was last asked: 1 or 0.").Add({})),
        known_leader_(
            Gauges(r, "meshgate_consul_known_leader", "Whether Consul had a leader when it was last asked: 1 or 0.")
                .Add({})),
        last_contact_(Gauges(r, "meshgate_consul_last_contact_seconds",
                             "Age of the data of the Consul server that answered last, in seconds; 0 for the leader.")
                          .Add({})) {}

  void OnStoreHealth(bool up, bool known_leader, absl::Duration last_contact) override {
    up_.Set(up ? 1 : 0);
    known_leader_.Set(known_leader ? 1 : 0);
    last_contact_.Set(absl::ToDoubleSeconds(last_contact));
  }

 private:
  Gauge& up_;
  Gauge& known_leader_;
  Gauge& last_contact_;
};

class WatchMetrics final : public consul::WatchReporter {
 public:
  explicit WatchMetrics(prometheus::Registry& r)
      : index_resets_(Counters(r, "meshgate_consul_index_resets_total",
                               "Times Consul's index went back and a watch started over.")
                          .Add({})),
        shared_targets_(Gauges(r, "meshgate_upstream_shared_targets",
                               "Watched keys and prefixes that share an upstream watch of a wider prefix.")
                            .Add({})),
        polled_(Gauges(r, "meshgate_upstream_polled",
                       "Upstream watches that read now and then, for want of a free connection to wait on.")
                    .Add({})),
        replans_(Counters(r, "meshgate_upstream_replans_total",
                          "Times it was planned anew which targets share an upstream watch.")
                     .Add({})) {
    auto& streams = Gauges(r, "meshgate_watch_streams", "Open watch streams of callers.");
    auto& upstream = Gauges(r, "meshgate_upstream_watches",
                            "Watches in Consul, lingering ones included; one that several "
                            "keys and prefixes share counts once, as a prefix.");
    auto& events = Counters(r, "meshgate_watch_events_total",
                            "Changes seen in watched targets, counted once however many streams carry them.");
    auto& merged =
        Counters(r, "meshgate_watch_events_merged_total", "Changes that a slow reader got merged into later ones.");
    auto& propagation = Histograms(r, "meshgate_watch_propagation_seconds",
                                   "Time from Consul's answer received to the write handed to the transport, in "
                                   "seconds, per stream and change.");
    auto& spurious = Counters(r, "meshgate_consul_spurious_wakeups_total",
                              "Blocking queries that returned although nothing they watch had changed.");
    auto& unconfirmed = Counters(r, "meshgate_watch_unconfirmed_total",
                                 "Answers that lacked what readers hold, and were not used because it could not be "
                                 "confirmed to be gone; Consul hides what the gateway's token may not read.");
    for (int i = 0; i < kTargetKinds; ++i) {
      const std::string kind(ToString(KindAt(i)));
      streams_[i] = &streams.Add(KindLabel(i));
      upstream_[i] = &upstream.Add(KindLabel(i));
      events_[i][0] = &events.Add({{"kind", kind}, {"type", "put"}});
      events_[i][1] = &events.Add({{"kind", kind}, {"type", "delete"}});
      merged_[i] = &merged.Add(KindLabel(i));
      propagation_[i] = &propagation.Add(KindLabel(i), PropagationBuckets());
      spurious_[i] = &spurious.Add(KindLabel(i));
      unconfirmed_[i] = &unconfirmed.Add(KindLabel(i));
    }
    auto& dropped = Counters(r, "meshgate_watch_dropped_total", "Watch streams ended against the reader's wish.");
    dropped_[0] = &dropped.Add({{"reason", "failed"}});
    dropped_[1] = &dropped.Add({{"reason", "draining"}});
    dropped_[2] = &dropped.Add({{"reason", "slow_reader"}});
    auto& cache = Counters(r, "meshgate_cache_requests_total",
                           "Cached reads: hit (from memory), miss (Consul was asked), stale (from memory while Consul "
                           "is away), refused (older than the caller accepts).");
    cache_[0] = &cache.Add({{"result", "hit"}});
    cache_[1] = &cache.Add({{"result", "miss"}});
    cache_[2] = &cache.Add({{"result", "stale"}});
    cache_[3] = &cache.Add({{"result", "refused"}});
  }

  void OnStreams(TargetKind kind, int delta) override { Change(*streams_[At(kind)], delta); }
  void OnUpstreamWatches(TargetKind kind, int delta) override { Change(*upstream_[At(kind)], delta); }
  void OnSharedTargets(int delta) override { Change(shared_targets_, delta); }
  void OnPolled(int delta) override { Change(polled_, delta); }
  void OnReplan() override { replans_.Increment(); }
  void OnEvents(TargetKind kind, EventType type, int count) override {
    events_[At(kind)][static_cast<size_t>(type)]->Increment(count);
  }
  void OnMerged(TargetKind kind, int64_t events) override { merged_[At(kind)]->Increment(static_cast<double>(events)); }
  void OnPropagation(TargetKind kind, absl::Duration took, int64_t readers) override {
    const double seconds = absl::ToDoubleSeconds(took);
    if (readers == 1) return propagation_[At(kind)]->Observe(seconds);
    static const Buckets buckets = PropagationBuckets();
    std::vector<double> counts(buckets.size() + 1);
    const auto bucket = std::lower_bound(buckets.begin(), buckets.end(), seconds) - buckets.begin();
    counts[static_cast<size_t>(bucket)] = static_cast<double>(readers);
    propagation_[At(kind)]->ObserveMultiple(counts, seconds * static_cast<double>(readers));
  }
  void OnDropped(DropReason reason) override { dropped_[static_cast<size_t>(reason)]->Increment(); }
  void OnIndexReset() override { index_resets_.Increment(); }
  void OnUnconfirmed(TargetKind kind) override { unconfirmed_[At(kind)]->Increment(); }
  void OnSpuriousWakeup(TargetKind kind) override { spurious_[At(kind)]->Increment(); }
  void OnCacheRequest(CacheResult result) override { cache_[static_cast<size_t>(result)]->Increment(); }

 private:
  static void Change(Gauge& gauge, int delta) { delta >= 0 ? gauge.Increment(delta) : gauge.Decrement(-delta); }

  Counter& index_resets_;
  Gauge& shared_targets_;
  Gauge& polled_;
  Counter& replans_;
  std::array<Gauge*, kTargetKinds> streams_, upstream_;
  std::array<std::array<Counter*, 2>, kTargetKinds> events_;
  std::array<Counter*, kTargetKinds> merged_, spurious_, unconfirmed_;
  std::array<Histogram*, kTargetKinds> propagation_;
  std::array<Counter*, 3> dropped_;
  std::array<Counter*, 4> cache_;
};

class StateStoreMetrics final : public consul::StateStoreReporter {
 public:
  explicit StateStoreMetrics(prometheus::Registry& r)
      : up_(Gauges(r, "meshgate_state_store_up",
                   "Whether last known states are kept on disk: 1, or 0 where the disk does not take them.")
                .Add({})),
        targets_(Gauges(r, "meshgate_state_store_targets", "Targets whose last known state is on disk.").Add({})),
        bytes_(Gauges(r, "meshgate_state_store_bytes",
                      "What those states count for in their bound, in bytes; the file is a little larger.")
                   .Add({})),
        damaged_(Counters(r, "meshgate_state_store_damaged_total",
                          "Times something on disk was found damaged and set aside or dropped.")
                     .Add({})) {
    auto& errors = Counters(r, "meshgate_state_store_errors_total", "Operations on last known states that failed.");
    for (int i = 0; i < consul::kStateStoreOperations; ++i) {
      errors_[i] = &errors.Add({{"operation", std::string(ToString(static_cast<Operation>(i)))}});
    }
  }

  void OnCondition(const absl::Status& condition) override { up_.Set(condition.ok() ? 1 : 0); }
  void OnError(Operation operation) override { errors_[static_cast<size_t>(operation)]->Increment(); }
  void OnDamage(std::string_view what) override { damaged_.Increment(); }
  void OnKept(int64_t targets, int64_t bytes) override {
    targets_.Set(static_cast<double>(targets));
    bytes_.Set(static_cast<double>(bytes));
  }

 private:
  Gauge& up_;
  Gauge& targets_;
  Gauge& bytes_;
  Counter& damaged_;
  std::array<Counter*, consul::kStateStoreOperations> errors_;
};

class HoldMetrics final : public HoldReporter {
 public:
  explicit HoldMetrics(prometheus::Registry& r)
      : held_(Gauges(r, "meshgate_held_registrations",
                     "Registrations that this gateway keeps alive for their streams, those included that a stream was "
                     "just lost of.")
                  .Add({})),
        reregistered_(Counters(r, "meshgate_reregistrations_total",
                               "Times a held registration was written again because Consul had forgotten it.")
                          .Add({})) {}

  void OnHeld(int delta) override { delta >= 0 ? held_.Increment(delta) : held_.Decrement(-delta); }
  void OnReregistered() override { reregistered_.Increment(); }

 private:
  Gauge& held_;
  Counter& reregistered_;
};

class AuthMetrics final : public AuthReporter {
 public:
  explicit AuthMetrics(prometheus::Registry& r)
      : seconds_(Histograms(r, "meshgate_auth_check_duration_seconds",
                            "Time that Consul took to say what a caller's token may do, in seconds.")
                     .Add({}, ConsulBuckets())) {
    auto& checks =
        Counters(r, "meshgate_auth_checks_total",
                 "Times it was asked whether a caller may see or do something, by what came of it: all of it "
                 "is allowed, some is denied, the token is an unknown_token, Consul is unavailable, or the "
                 "answer is cached: shared with others, or from before Consul went away.");
    constexpr const char* kNames[kResults] = {"allowed", "denied", "unknown_token", "unavailable", "cached"};
    for (int i = 0; i < kResults; ++i) checks_[i] = &checks.Add({{"result", kNames[i]}});
  }

  void OnCheck(Result result) override { checks_[static_cast<size_t>(result)]->Increment(); }
  void OnAnswered(absl::Duration took) override { seconds_.Observe(absl::ToDoubleSeconds(took)); }

 private:
  Histogram& seconds_;
  std::array<Counter*, kResults> checks_;
};

class ConnectionMetrics final : public ConnectionReporter {
 public:
  explicit ConnectionMetrics(prometheus::Registry& r)
      : connections_(Gauges(r, "meshgate_grpc_connections", "Open connections of gRPC clients.").Add({})),
        refused_(Counters(r, "meshgate_grpc_connections_refused_total",
                          "Connections closed as soon as they came, because there were as many as may be.")
                     .Add({})) {
    auto& cut =
        Counters(r, "meshgate_grpc_connections_cut_total",
                 "Connections closed against the client's wish: it broke the protocol or flooded the gateway, it "
                 "did not answer a ping, or it did not read.");
    cut_[0] = &cut.Add({{"reason", "protocol"}});
    cut_[1] = &cut.Add({{"reason", "keepalive"}});
    cut_[2] = &cut.Add({{"reason", "slow_reader"}});
  }

  void OnConnections(int delta) override {
    delta >= 0 ? connections_.Increment(delta) : connections_.Decrement(-delta);
  }
  void OnRefused() override { refused_.Increment(); }
  void OnCut(Cut why) override { cut_[static_cast<size_t>(why)]->Increment(); }

 private:
  Gauge& connections_;
  Counter& refused_;
  std::array<Counter*, 3> cut_;
};

class HttpConnectionMetrics final : public ConnectionReporter {
 public:
  explicit HttpConnectionMetrics(prometheus::Registry& r)
      : connections_(Gauges(r, "meshgate_http_connections", "Open connections of HTTP clients.").Add({})),
        refused_(Counters(r, "meshgate_http_connections_refused_total",
                          "Connections closed as soon as they came, because there were as many as may be "
                          "(--http_max_connections).")
                     .Add({})) {}

  void OnConnections(int delta) override {
    delta >= 0 ? connections_.Increment(delta) : connections_.Decrement(-delta);
  }
  void OnRefused() override { refused_.Increment(); }

 private:
  Gauge& connections_;
  Counter& refused_;
};

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
  TlsMetrics tls{&registry};
  std::unique_ptr<StateStoreMetrics> state_store;
  std::unique_ptr<AuthMetrics> auth;
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
HoldReporter* Registry::hold_reporter() { return &impl_->hold; }
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
