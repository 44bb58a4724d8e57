// How metrics are made, for the files of this folder.
#ifndef MESHGATE_METRICS_FAMILIES_H_
#define MESHGATE_METRICS_FAMILIES_H_

#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace meshgate::metrics {

using Buckets = prometheus::Histogram::BucketBoundaries;

// Plain calls take milliseconds; blocking queries up to ten minutes and a sixteenth.
inline Buckets ConsulBuckets() {
  return {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
}

inline prometheus::Family<prometheus::Counter>& Counters(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(r);
}
inline prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(r);
}
inline prometheus::Family<prometheus::Histogram>& Histograms(prometheus::Registry& r, const char* name,
                                                             const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(r);
}

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_FAMILIES_H_
