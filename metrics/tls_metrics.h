#ifndef MESHGATE_METRICS_TLS_METRICS_H_
#define MESHGATE_METRICS_TLS_METRICS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "consul/base/mutex.h"
#include "metrics/tls_reporter.h"
#include "prometheus/registry.h"

namespace meshgate::metrics {

// The series of each listener that speaks TLS; of others there are none.
class TlsMetrics {
 public:
  // `registry` outlives it.
  explicit TlsMetrics(prometheus::Registry* registry);
  ~TlsMetrics();

  // All series of the listener exist from here on. Asking again gives the same. Thread-safe.
  TlsReporter* Of(std::string_view listener);

 private:
  class Listener;

  prometheus::Registry* const registry_;
  Mutex mu_;
  std::map<std::string, std::unique_ptr<Listener>, std::less<>> listeners_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_TLS_METRICS_H_
