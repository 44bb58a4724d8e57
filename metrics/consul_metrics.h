// What Consul, the watch hub and the store of last known states report, as metrics. For the registry alone.
#ifndef MESHGATE_METRICS_CONSUL_METRICS_H_
#define MESHGATE_METRICS_CONSUL_METRICS_H_

#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "consul/reporter.h"
#include "metrics/families.h"

namespace meshgate::metrics {

inline Buckets PropagationBuckets() {
  return {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
}

inline consul::TargetKind KindAt(int i) { return static_cast<consul::TargetKind>(i); }
inline prometheus::Labels KindLabel(int i) { return {{"kind", std::string(ToString(KindAt(i)))}}; }
inline size_t At(consul::TargetKind kind) { return static_cast<size_t>(kind); }

// An HTTP status as a label. A fixed set: what a broken proxy makes up must not become new series.
struct CodeLabel {
  int code;
  const char* label;
};
inline constexpr CodeLabel kConsulCodes[] = {{0, "none"},  {200, "200"}, {400, "400"}, {401, "401"},
                                             {403, "403"}, {404, "404"}, {409, "409"}, {413, "413"},
                                             {429, "429"}, {500, "500"}, {503, "503"}, {-1, "other"}};
inline constexpr size_t kConsulCodeCount = std::size(kConsulCodes);

inline size_t ConsulCodeIndex(int http_code) {
  for (size_t i = 0; i + 1 < kConsulCodeCount; ++i) {
    if (kConsulCodes[i].code == http_code) return i;
  }
  return kConsulCodeCount - 1;
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
    for (int e = 0; e < consul::kEndpoints; ++e) {
      const std::string endpoint(ToString(static_cast<consul::Endpoint>(e)));
      for (size_t c = 0; c < kConsulCodeCount; ++c) {
        requests_[e][c] = &requests.Add({{"endpoint", endpoint}, {"code", kConsulCodes[c].label}});
      }
      durations_[e] = &durations.Add({{"endpoint", endpoint}}, ConsulBuckets());
    }
  }

  void OnRequest(consul::Endpoint endpoint, int http_code, absl::Duration took) override {
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

  prometheus::Gauge& connections_;
  prometheus::Gauge& max_connections_;
  prometheus::Counter& opened_;
  prometheus::Counter& agent_changes_;
  std::array<prometheus::Gauge*, kBreakerStates> breaker_;
  std::array<std::array<prometheus::Counter*, kConsulCodeCount>, consul::kEndpoints> requests_;
  std::array<prometheus::Histogram*, consul::kEndpoints> durations_;
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
  prometheus::Gauge& up_;
  prometheus::Gauge& known_leader_;
  prometheus::Gauge& last_contact_;
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
    for (int i = 0; i < consul::kTargetKinds; ++i) {
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

  void OnStreams(consul::TargetKind kind, int delta) override { Change(*streams_[At(kind)], delta); }
  void OnUpstreamWatches(consul::TargetKind kind, int delta) override { Change(*upstream_[At(kind)], delta); }
  void OnSharedTargets(int delta) override { Change(shared_targets_, delta); }
  void OnPolled(int delta) override { Change(polled_, delta); }
  void OnReplan() override { replans_.Increment(); }
  void OnEvents(consul::TargetKind kind, EventType type, int count) override {
    events_[At(kind)][static_cast<size_t>(type)]->Increment(count);
  }
  void OnMerged(consul::TargetKind kind, int64_t events) override {
    merged_[At(kind)]->Increment(static_cast<double>(events));
  }
  void OnPropagation(consul::TargetKind kind, absl::Duration took, int64_t readers) override {
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
  void OnUnconfirmed(consul::TargetKind kind) override { unconfirmed_[At(kind)]->Increment(); }
  void OnSpuriousWakeup(consul::TargetKind kind) override { spurious_[At(kind)]->Increment(); }
  void OnCacheRequest(CacheResult result) override { cache_[static_cast<size_t>(result)]->Increment(); }

 private:
  static void Change(prometheus::Gauge& gauge, int delta) {
    delta >= 0 ? gauge.Increment(delta) : gauge.Decrement(-delta);
  }

  prometheus::Counter& index_resets_;
  prometheus::Gauge& shared_targets_;
  prometheus::Gauge& polled_;
  prometheus::Counter& replans_;
  std::array<prometheus::Gauge*, consul::kTargetKinds> streams_, upstream_;
  std::array<std::array<prometheus::Counter*, 2>, consul::kTargetKinds> events_;
  std::array<prometheus::Counter*, consul::kTargetKinds> merged_, spurious_, unconfirmed_;
  std::array<prometheus::Histogram*, consul::kTargetKinds> propagation_;
  std::array<prometheus::Counter*, 3> dropped_;
  std::array<prometheus::Counter*, 4> cache_;
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
  prometheus::Gauge& up_;
  prometheus::Gauge& targets_;
  prometheus::Gauge& bytes_;
  prometheus::Counter& damaged_;
  std::array<prometheus::Counter*, consul::kStateStoreOperations> errors_;
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_CONSUL_METRICS_H_
