#include "metrics/allow_list_metrics.h"

namespace meshgate::metrics {

AllowListMetrics::AllowListMetrics(prometheus::Registry& registry)
    : AllowListMetrics(
          prometheus::BuildGauge()
              .Name("meshgate_auth_list_identities")
              .Help("Entries of the allow-list that is in use.")
              .Register(registry)
              .Add({}),
          prometheus::BuildCounter()
              .Name("meshgate_auth_list_reloads_total")
              .Help("Times the allow-list's file had changed: it is in use (ok), or cannot be and the list "
                    "before stays (failed).")
              .Register(registry)) {}

AllowListMetrics::AllowListMetrics(prometheus::Gauge& identities, prometheus::Family<prometheus::Counter>& reloads)
    : identities_(identities), ok_(reloads.Add({{"result", "ok"}})), failed_(reloads.Add({{"result", "failed"}})) {}

}  // namespace meshgate::metrics
