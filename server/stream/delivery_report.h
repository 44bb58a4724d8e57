#ifndef MESHGATE_SERVER_STREAM_DELIVERY_REPORT_H_
#define MESHGATE_SERVER_STREAM_DELIVERY_REPORT_H_

#include <cstdint>

#include "absl/time/time.h"
#include "consul/reporter.h"
#include "metrics/registry.h"

namespace meshgate::server {

// Counts messages as they are handed over and tells the metrics in batches: thousands of streams that are sent the same
// change cost one observation. Not thread-safe: one per thread of a transport.
class DeliveryReport {
 public:
  explicit DeliveryReport(consul::WatchReporter* watches) : watches_(watches) {}

  // A message to a reader of `kind`, by a method with `calls`; `received` as in consul::Message.
  void Add(metrics::RpcMethodReporter* calls, consul::TargetKind kind, absl::Time received, absl::Time now) {
    if (calls != calls_ || kind != kind_ || received != received_) {
      Flush(now);
      calls_ = calls;
      kind_ = kind;
      received_ = received;
    }
    ++count_;
  }

  // At the end of a batch.
  void Flush(absl::Time now) {
    if (count_ == 0) return;
    calls_->OnSent(count_);
    if (received_ != absl::InfinitePast()) watches_->OnPropagation(kind_, now - received_, count_);
    count_ = 0;
  }

 private:
  consul::WatchReporter* const watches_;
  metrics::RpcMethodReporter* calls_ = nullptr;
  consul::TargetKind kind_ = consul::TargetKind::kKey;
  absl::Time received_;
  int64_t count_ = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STREAM_DELIVERY_REPORT_H_
