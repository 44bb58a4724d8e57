#ifndef MESHGATE_METRICS_PROCESS_COLLECTOR_H_
#define MESHGATE_METRICS_PROCESS_COLLECTOR_H_

#include <string>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace meshgate::metrics {

// The process_* metrics every Prometheus client library knows, read from /proc when asked and at no other time. What
// cannot be read is left out rather than reported as zero. Thread-safe.
class ProcessCollector final : public prometheus::Collectable {
 public:
  // `proc` is where procfs is mounted; tests give a folder of their own.
  explicit ProcessCollector(std::string proc = "/proc");

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string proc_;
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_PROCESS_COLLECTOR_H_
