#include "metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

namespace meshgate::metrics {
namespace {

using consul::Endpoint;
using consul::TargetKind;
using consul::WatchReporter;
using ::testing::HasSubstr;
using ::testing::Not;

// Would break if a series appeared only with its first event: a rate over it would miss that event, and an alert on its
// absence could not be written.
TEST(RegistryTest, EverySeriesExistsFromTheStart) {
  Registry registry("1.2.3", "consul");
  registry.rpc_reporter()->Method(RpcReporter::Type::kUnary, "a.B", "C");
  const std::string text = registry.Scrape();
  for (
      const char* series :
      {R"(meshgate_build_info{backend="consul",version="1.2.3"} 1)",
       R"(meshgate_watch_streams{kind="key"} 0)",
       R"(meshgate_watch_streams{kind="catalog"} 0)",
       R"(meshgate_upstream_watches{kind="service"} 0)",
       R"(meshgate_watch_events_total{kind="prefix",type="delete"} 0)",
       R"(meshgate_watch_events_merged_total{kind="key"} 0)",
       R"(meshgate_watch_propagation_seconds_count{kind="service"} 0)",
       R"(meshgate_watch_dropped_total{reason="draining"} 0)",
       R"(meshgate_watch_dropped_total{reason="slow_reader"} 0)",
       "meshgate_held_registrations 0",
       "meshgate_reregistrations_total 0",
       "meshgate_consul_up 0",
       "meshgate_consul_known_leader 0",
       "meshgate_consul_last_contact_seconds 0",
       R"(meshgate_consul_requests_total{code="404",endpoint="kv"} 0)",
       R"(meshgate_consul_requests_total{code="none",endpoint="status"} 0)",
       R"(meshgate_consul_requests_total{code="403",endpoint="session"} 0)",
       R"(meshgate_consul_requests_total{code="500",endpoint="other"} 0)",
       R"(meshgate_consul_request_duration_seconds_bucket{endpoint="health_service",le="300"} 0)",
       "meshgate_consul_connections 0",
       "meshgate_consul_connections_max 0",
       R"(meshgate_consul_breaker_state{state="closed"} 1)",
       R"(meshgate_consul_breaker_state{state="half_open"} 0)",
       R"(meshgate_consul_breaker_state{state="open"} 0)",
       "meshgate_consul_breaker_opened_total 0",
       "meshgate_consul_agent_changes_total 0",
       "meshgate_consul_index_resets_total 0",
       "meshgate_upstream_shared_targets 0",
       "meshgate_upstream_polled 0",
       R"(meshgate_watch_unconfirmed_total{kind="prefix"} 0)",
       "meshgate_upstream_replans_total 0",
       R"(meshgate_consul_spurious_wakeups_total{kind="key"} 0)",
       R"(meshgate_cache_requests_total{result="refused"} 0)",
       R"(grpc_server_handled_total{grpc_code="Unauthenticated",grpc_method="C",grpc_service="a.B",grpc_type="unary"} 0)",
       "process_open_fds "}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
}

// Would break if an event were counted under another one's name.
TEST(RegistryTest, CountsWhatIsReported) {
  Registry registry("1", "embedded");
  WatchReporter* watch = registry.watch_reporter();
  watch->OnStreams(TargetKind::kKey, 1);
  watch->OnStreams(TargetKind::kKey, 1);
  watch->OnStreams(TargetKind::kKey, -1);
  watch->OnUpstreamWatches(TargetKind::kPrefix, 3);
  watch->OnEvents(TargetKind::kService, WatchReporter::EventType::kDelete, 5);
  watch->OnMerged(TargetKind::kKey, 4);
  watch->OnPropagation(TargetKind::kKey, absl::Microseconds(300), 1);
  watch->OnDropped(WatchReporter::DropReason::kDraining);
  watch->OnDropped(WatchReporter::DropReason::kSlowReader);
  watch->OnDropped(WatchReporter::DropReason::kSlowReader);
  watch->OnIndexReset();
  watch->OnUnconfirmed(TargetKind::kPrefix);
  watch->OnSpuriousWakeup(TargetKind::kCatalog);
  watch->OnSharedTargets(12);
  watch->OnPolled(5);
  watch->OnPolled(-2);
  watch->OnReplan();
  watch->OnCacheRequest(WatchReporter::CacheResult::kStale);
  registry.store_reporter()->OnStoreHealth(true, true, absl::Milliseconds(1500));
  registry.backend_reporter()->OnConnections(7);
  registry.backend_reporter()->OnBreaker(consul::BackendReporter::Breaker::kOpen);
  registry.backend_reporter()->OnBreaker(consul::BackendReporter::Breaker::kHalfOpen);
  registry.backend_reporter()->OnAgent("http://127.0.0.1:8500");
  registry.SetMaxConsulConnections(160);
  registry.backend_reporter()->OnRequest(Endpoint::kKv, 200, absl::Milliseconds(3));
  registry.backend_reporter()->OnRequest(Endpoint::kKv, 0, absl::Milliseconds(3));
  registry.backend_reporter()->OnRequest(Endpoint::kKv, 418, absl::Milliseconds(3));

  const std::string text = registry.Scrape();
  for (const char* series : {R"(meshgate_watch_streams{kind="key"} 1)",
                             R"(meshgate_upstream_watches{kind="prefix"} 3)",
                             R"(meshgate_watch_events_total{kind="service",type="delete"} 5)",
                             R"(meshgate_watch_events_merged_total{kind="key"} 4)",
                             R"(meshgate_watch_propagation_seconds_bucket{kind="key",le="0.0005"} 1)",
                             R"(meshgate_watch_dropped_total{reason="draining"} 1)",
                             R"(meshgate_watch_dropped_total{reason="failed"} 0)",
                             R"(meshgate_watch_dropped_total{reason="slow_reader"} 2)",
                             "meshgate_upstream_shared_targets 12",
                             "meshgate_upstream_polled 3",
                             R"(meshgate_watch_unconfirmed_total{kind="prefix"} 1)",
                             "meshgate_upstream_replans_total 1",
                             "meshgate_consul_index_resets_total 1",
                             R"(meshgate_consul_spurious_wakeups_total{kind="catalog"} 1)",
                             R"(meshgate_cache_requests_total{result="stale"} 1)",
                             "meshgate_consul_up 1",
                             "meshgate_consul_known_leader 1",
                             "meshgate_consul_last_contact_seconds 1.5",
                             "meshgate_consul_connections 7",
                             R"(meshgate_consul_breaker_state{state="closed"} 0)",
                             R"(meshgate_consul_breaker_state{state="half_open"} 1)",
                             R"(meshgate_consul_breaker_state{state="open"} 0)",
                             "meshgate_consul_breaker_opened_total 1",
                             "meshgate_consul_agent_changes_total 1",
                             "meshgate_consul_connections_max 160",
                             R"(meshgate_consul_requests_total{code="200",endpoint="kv"} 1)",
                             R"(meshgate_consul_requests_total{code="none",endpoint="kv"} 1)",
                             R"(meshgate_consul_requests_total{code="other",endpoint="kv"} 1)",
                             R"(meshgate_consul_request_duration_seconds_count{endpoint="kv"} 3)"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
  EXPECT_THAT(text, HasSubstr(R"(meshgate_watch_propagation_seconds_bucket{kind="key",le="0.00025"} 0)"));
}

// Would break if a change for many readers were counted as another than as many changes for one: in the wrong bucket,
// at its edge, beyond the last, or with another sum.
TEST(RegistryTest, ManyReadersOfAChangeAtOnce) {
  Registry together("1", "embedded"), single("1", "embedded");
  for (const absl::Duration took :
       {absl::ZeroDuration(), absl::Microseconds(100), absl::Milliseconds(3), absl::Seconds(10), absl::Seconds(11)}) {
    together.watch_reporter()->OnPropagation(TargetKind::kKey, took, 1'000);
    for (int i = 0; i < 1'000; ++i) single.watch_reporter()->OnPropagation(TargetKind::kKey, took, 1);
  }
  const auto propagation = [](const std::string& text) {
    std::string out;
    for (size_t at = 0; (at = text.find("meshgate_watch_propagation_seconds_", at)) != std::string::npos; ++at) {
      std::string line = text.substr(at, text.find('\n', at) - at);
      // Floating point: the sum to the millisecond.
      if (line.find("_sum") != std::string::npos) {
        const size_t value = line.rfind(' ');
        line = line.substr(0, value) + " " + std::to_string(std::lround(std::stod(line.substr(value)) * 1'000));
      }
      out += line + "\n";
    }
    return out;
  };
  EXPECT_EQ(propagation(together.Scrape()), propagation(single.Scrape()));
  EXPECT_THAT(together.Scrape(), HasSubstr(R"(meshgate_watch_propagation_seconds_count{kind="key"} 5000)"));
}

// Would break if a call were counted under the wrong code, or a second look-up of a method reset or split its series.
TEST(RegistryTest, CountsCallsByMethodAndCode) {
  Registry registry("1", "embedded");
  RpcMethodReporter* m = registry.rpc_reporter()->Method(RpcReporter::Type::kServerStream, "a.B", "Watch");
  m->OnStarted();
  m->OnReceived();
  m->OnSent();
  m->OnSent(40);
  m->OnHandled(14, absl::Milliseconds(20));
  m->OnHandled(99, absl::Milliseconds(20));
  EXPECT_EQ(registry.rpc_reporter()->Method(RpcReporter::Type::kServerStream, "a.B", "Watch"), m);
  const std::string text = registry.Scrape();
  const std::string labels = R"(grpc_method="Watch",grpc_service="a.B",grpc_type="server_stream")";
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{" + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_received_total{" + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_sent_total{" + labels + "} 41\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"Unavailable\"," + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"Unknown\"," + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_bucket{" + labels + ",le=\"0.025\"} 2\n"));
}

// Would break if two events at a time could be counted as one, or a scrape disturbed them.
TEST(RegistryTest, ReportsFromManyThreadsWhileScraped) {
  Registry registry("1", "embedded");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      for (int i = 0; i < 1000; ++i)
        registry.watch_reporter()->OnPropagation(TargetKind::kKey, absl::Milliseconds(1), 1);
    });
  }
  for (int i = 0; i < 10; ++i) registry.Scrape();
  for (auto& t : threads) t.join();
  EXPECT_THAT(registry.Scrape(), HasSubstr(R"(meshgate_watch_propagation_seconds_count{kind="key"} 4000)"));
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("nan")));
}

// Would break if a code's name drifted from the spelling that dashboards filter on.
TEST(RegistryTest, CodeNames) {
  EXPECT_EQ(RpcCodeName(0), "OK");
  EXPECT_EQ(RpcCodeName(1), "Canceled");
  EXPECT_EQ(RpcCodeName(5), "NotFound");
  EXPECT_EQ(RpcCodeName(10), "Aborted");
  EXPECT_EQ(RpcCodeName(14), "Unavailable");
  EXPECT_EQ(RpcCodeName(16), "Unauthenticated");
  EXPECT_EQ(RpcCodeName(-1), "Unknown");
  EXPECT_EQ(RpcCodeName(17), "Unknown");
}

// Would break if a disk that fails could not be seen, or a gateway without a store looked like one with such a disk.
TEST(RegistryTest, TellsHowLastKnownStatesAreKept) {
  Registry registry("1", "consul");
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("meshgate_state_store")));
  consul::StateStoreReporter* store = registry.state_store_reporter();
  EXPECT_EQ(registry.state_store_reporter(), store);
  EXPECT_THAT(registry.Scrape(), HasSubstr("meshgate_state_store_up 0"));
  store->OnCondition(absl::OkStatus());
  store->OnError(consul::StateStoreReporter::Operation::kSave);
  store->OnDamage("x");
  store->OnKept(3, 4096);
  const std::string text = registry.Scrape();
  for (const char* series :
       {"meshgate_state_store_up 1", R"(meshgate_state_store_errors_total{operation="save"} 1)",
        R"(meshgate_state_store_errors_total{operation="open"} 0)", "meshgate_state_store_damaged_total 1",
        "meshgate_state_store_targets 3", "meshgate_state_store_bytes 4096"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
  store->OnCondition(absl::UnavailableError("full"));
  EXPECT_THAT(registry.Scrape(), HasSubstr("meshgate_state_store_up 0"));
}

// Would break if a list that is not taken could not be seen, or a gateway without a list looked like one with nobody in
// it.
TEST(RegistryTest, AllowListsHaveSeriesWhereThereIsOne) {
  Registry registry("1.2.3", "embedded");
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("meshgate_auth_list")));
  AllowListReporter* const list = registry.allow_list_reporter();
  EXPECT_EQ(registry.allow_list_reporter(), list);
  EXPECT_THAT(registry.Scrape(), HasSubstr(R"(meshgate_auth_list_reloads_total{result="ok"} 0)"));
  list->OnList(7);
  list->OnReload(false);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("meshgate_auth_list_identities 7"));
  EXPECT_THAT(text, HasSubstr(R"(meshgate_auth_list_reloads_total{result="failed"} 1)"));
}

// Would break if a listener without TLS looked like one whose certificate has expired, or a series of one with TLS
// appeared only with its first event.
TEST(RegistryTest, TlsHasSeriesWhereItIsSpoken) {
  Registry registry("1.2.3", "embedded");
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("meshgate_tls")));
  TlsReporter* const tls = registry.tls_reporter("http");
  EXPECT_EQ(registry.tls_reporter("http"), tls);
  EXPECT_NE(registry.tls_reporter("grpc"), tls);
  for (int i = 0; i < kHandshakeFailures; ++i) {
    EXPECT_THAT(registry.Scrape(), HasSubstr("meshgate_tls_handshake_failures_total{listener=\"http\",reason=\"" +
                                             std::string(ToString(static_cast<HandshakeFailure>(i))) + "\"} 0"));
  }
  tls->OnCertificate(absl::FromUnixSeconds(1234567890));
  tls->OnReload(true);
  tls->OnReload(false);
  tls->OnReload(false);
  tls->OnHandshakeFailure(HandshakeFailure::kUnknownCa);
  const std::string text = registry.Scrape();
  for (const char* series : {R"(meshgate_tls_certificate_expiry_timestamp_seconds{listener="http"} 1234567890)",
                             R"(meshgate_tls_certificate_expiry_timestamp_seconds{listener="grpc"} 0)",
                             R"(meshgate_tls_reloads_total{listener="http",result="ok"} 1)",
                             R"(meshgate_tls_reloads_total{listener="http",result="failed"} 2)",
                             R"(meshgate_tls_handshake_failures_total{listener="http",reason="unknown_ca"} 1)",
                             R"(meshgate_tls_handshake_failures_total{listener="grpc",reason="unknown_ca"} 0)"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
}

}  // namespace
}  // namespace meshgate::metrics
