// What callers have: connections, permissions, budgets, held registrations. For the registry alone.
#ifndef MESHGATE_METRICS_CALLER_METRICS_H_
#define MESHGATE_METRICS_CALLER_METRICS_H_

#include <array>
#include <cstddef>

#include "absl/time/time.h"
#include "metrics/auth_reporter.h"
#include "metrics/connection_reporter.h"
#include "metrics/families.h"
#include "metrics/hold_reporter.h"
#include "metrics/limit_reporter.h"

namespace meshgate::metrics {

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
  prometheus::Gauge& held_;
  prometheus::Counter& reregistered_;
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
  prometheus::Histogram& seconds_;
  std::array<prometheus::Counter*, kResults> checks_;
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
  prometheus::Gauge& connections_;
  prometheus::Counter& refused_;
  std::array<prometheus::Counter*, 3> cut_;
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
  prometheus::Gauge& connections_;
  prometheus::Counter& refused_;
};

class LimitMetrics final : public LimitReporter {
 public:
  explicit LimitMetrics(prometheus::Registry& r) {
    auto& refused =
        Counters(r, "meshgate_limit_refusals_total",
                 "Calls refused because of --limit_...: by what there was too much of, requests a second, streams or "
                 "their targets, and whose budget was used up, one caller's or that of all.");
    constexpr const char* kNames[kLimits] = {"requests", "streams", "targets"};
    constexpr const char* kOwners[kScopes] = {"caller", "all"};
    for (int limit = 0; limit < kLimits; ++limit) {
      for (int scope = 0; scope < kScopes; ++scope) {
        refused_[limit][scope] = &refused.Add({{"limit", kNames[limit]}, {"scope", kOwners[scope]}});
      }
    }
  }

  void OnRefused(Limit limit, Scope scope) override {
    refused_[static_cast<size_t>(limit)][static_cast<size_t>(scope)]->Increment();
  }

 private:
  std::array<std::array<prometheus::Counter*, kScopes>, kLimits> refused_;
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_CALLER_METRICS_H_
