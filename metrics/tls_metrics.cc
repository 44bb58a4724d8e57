#include "metrics/tls_metrics.h"

#include <array>
#include <cstddef>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"

namespace meshgate::metrics {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::Counter;
using prometheus::Gauge;

constexpr std::array<std::string_view, kHandshakeFailures> kFailureNames = {"no_certificate",
                                                                            "unknown_ca",
                                                                            "expired_certificate",
                                                                            "bad_certificate",
                                                                            "refused_by_client",
                                                                            "version",
                                                                            "cipher",
                                                                            "alpn",
                                                                            "plaintext",
                                                                            "timeout",
                                                                            "closed",
                                                                            "too_many",
                                                                            "protocol"};

}  // namespace

std::string_view ToString(HandshakeFailure failure) { return kFailureNames.at(static_cast<size_t>(failure)); }

class TlsMetrics::Listener final : public TlsReporter {
 public:
  Listener(prometheus::Registry& r, const std::string& name)
      : expiry_(BuildGauge()
                    .Name("meshgate_tls_certificate_expiry_timestamp_seconds")
                    .Help("When the certificate that new connections get expires, in seconds since 1970.")
                    .Register(r)
                    .Add({{"listener", name}})) {
    auto& reloads = BuildCounter()
                        .Name("meshgate_tls_reloads_total")
                        .Help(
                            "Times a listener's certificate files had changed: they are in use (ok), or cannot be "
                            "and the ones before stay (failed).")
                        .Register(r);
    ok_ = &reloads.Add({{"listener", name}, {"result", "ok"}});
    failed_ = &reloads.Add({{"listener", name}, {"result", "failed"}});
    auto& failures = BuildCounter()
                         .Name("meshgate_tls_handshake_failures_total")
                         .Help("TLS handshakes that came to nothing, by reason.")
                         .Register(r);
    for (size_t i = 0; i < failures_.size(); ++i) {
      failures_[i] = &failures.Add({{"listener", name}, {"reason", std::string(kFailureNames[i])}});
    }
  }

  void OnCertificate(absl::Time expires) override { expiry_.Set(absl::ToDoubleSeconds(expires - absl::UnixEpoch())); }
  void OnReload(bool in_use) override { (in_use ? ok_ : failed_)->Increment(); }
  void OnHandshakeFailure(HandshakeFailure failure) override { failures_[static_cast<size_t>(failure)]->Increment(); }

 private:
  Gauge& expiry_;
  Counter* ok_;
  Counter* failed_;
  std::array<Counter*, kHandshakeFailures> failures_;
};

TlsMetrics::TlsMetrics(prometheus::Registry* registry) : registry_(registry) {}
TlsMetrics::~TlsMetrics() = default;

TlsReporter* TlsMetrics::Of(std::string_view listener) {
  MutexLock lock(mu_);
  auto it = listeners_.find(listener);
  if (it == listeners_.end()) {
    const std::string name(listener);
    it = listeners_.emplace(name, std::make_unique<Listener>(*registry_, name)).first;
  }
  return it->second.get();
}

}  // namespace meshgate::metrics
