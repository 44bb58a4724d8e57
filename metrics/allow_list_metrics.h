#ifndef MESHGATE_METRICS_ALLOW_LIST_METRICS_H_
#define MESHGATE_METRICS_ALLOW_LIST_METRICS_H_

#include "metrics/allow_list_reporter.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace meshgate::metrics {

class AllowListMetrics final : public AllowListReporter {
 public:
  // `registry` outlives it.
  explicit AllowListMetrics(prometheus::Registry& registry);

  void OnList(size_t identities) override { identities_.Set(static_cast<double>(identities)); }
  void OnReload(bool in_use) override { (in_use ? ok_ : failed_).Increment(); }

 private:
  AllowListMetrics(prometheus::Gauge& identities, prometheus::Family<prometheus::Counter>& reloads);

  prometheus::Gauge& identities_;
  prometheus::Counter& ok_;
  prometheus::Counter& failed_;
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_ALLOW_LIST_METRICS_H_
