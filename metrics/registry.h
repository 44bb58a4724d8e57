// Every metric of the process: its name, its labels, its help.
#ifndef MESHGATE_METRICS_REGISTRY_H_
#define MESHGATE_METRICS_REGISTRY_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "consul/reporter.h"
#include "metrics/allow_list_reporter.h"
#include "metrics/auth_reporter.h"
#include "metrics/connection_reporter.h"
#include "metrics/hold_reporter.h"
#include "metrics/limit_reporter.h"
#include "metrics/tls_reporter.h"

namespace meshgate::metrics {

// gRPC's canonical codes, 0 (OK) to 16 (UNAUTHENTICATED).
inline constexpr int kRpcCodes = 17;

// A code as the label `grpc_code` and the logs spell it: "OK", "NotFound", ... as go-grpc-prometheus does, so that
// dashboards made for it fit. A number out of range is "Unknown".
std::string_view RpcCodeName(int code);

// One method of one service. Thread-safe; no call looks anything up.
class RpcMethodReporter {
 public:
  virtual ~RpcMethodReporter() = default;
  virtual void OnStarted() = 0;
  virtual void OnReceived() = 0;
  virtual void OnSent(int64_t messages = 1) = 0;
  // The call has ended with `code`, `took` after it was started.
  virtual void OnHandled(int code, absl::Duration took) = 0;
};

// What the gRPC layer tells about its calls. Names, labels and buckets are those of go-grpc-prometheus.
class RpcReporter {
 public:
  enum class Type { kUnary, kServerStream, kBidiStream };

  virtual ~RpcReporter() = default;

  // `service` is the full name ("meshgate.v1.ConfigService"), `method` the short one. All series of the method exist
  // from here on. The reporter owns the result; asking again gives the same. For start-up, not for each call.
  virtual RpcMethodReporter* Method(Type type, std::string_view service, std::string_view method) = 0;
};

// Owns the metrics and implements the reporters that feed them. All series whose labels are fixed exist from the start,
// at zero, so that rates and alerts work from the first scrape on. Thread-safe; the reporters live as long as this.
class Registry {
 public:
  // `version` and `backend` are labels of meshgate_build_info.
  Registry(std::string_view version, std::string_view backend);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  consul::BackendReporter* backend_reporter();
  consul::StoreReporter* store_reporter();
  consul::WatchReporter* watch_reporter();
  // Its series exist from the first call on, which is for start-up: a process that keeps no last known states should
  // not look like one that fails to.
  consul::StateStoreReporter* state_store_reporter();
  RpcReporter* rpc_reporter();
  HoldReporter* hold_reporter();
  // Its series exist from the first call on, which is for start-up: without access control there is nothing to count.
  AuthReporter* auth_reporter();
  // The same, of a process that has a list of its own.
  AllowListReporter* allow_list_reporter();
  LimitReporter* limit_reporter();
  // Of the gRPC port, and of the HTTP port, which reports no cuts.
  ConnectionReporter* connection_reporter();
  ConnectionReporter* http_connection_reporter();
  // Of a listener that speaks TLS, "grpc" or "http". Its series exist from the first call on, which is for start-up:
  // one without TLS has no certificate that could expire.
  TlsReporter* tls_reporter(std::string_view listener);

  // Sets meshgate_consul_connections_max, which is 0 until then: without Consul.
  void SetMaxConsulConnections(int max);

  // Content-Type of Scrape().
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  // Everything, in Prometheus' text format.
  std::string Scrape() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_REGISTRY_H_
