// What callers may use of the gateway, each and together.
#ifndef MESHGATE_SERVER_LIMITS_LIMITS_H_
#define MESHGATE_SERVER_LIMITS_LIMITS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/node_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/resilience/token_bucket.h"
#include "consul/watch/target.h"
#include "metrics/limit_reporter.h"

namespace meshgate::server::limits {

// google.rpc.ErrorInfo.reason of RESOURCE_EXHAUSTED for a caller. Part of the public API: add, never rename.
inline constexpr std::string_view kTooManyRequests = "TOO_MANY_REQUESTS";
inline constexpr std::string_view kTooManyStreams = "TOO_MANY_STREAMS";
inline constexpr std::string_view kTooManyTargets = "TOO_MANY_TARGETS";

// 0: no limit.
struct Budget {
  // Streams open at a time.
  int64_t streams = 0;
  // Different keys, prefixes and services that they watch.
  int64_t targets = 0;
  // Calls a second, unary ones and opened streams alike; as many as that may come at once.
  int64_t requests = 0;
};

struct LimitsOptions {
  // Of each caller.
  Budget caller;
  // Of all together.
  Budget all;
};

// Counts what callers use. Thread-safe; never blocks. A unary call takes one short lock where calls are limited, and a
// stream where streams or targets are.
//
// Remembers a caller while it has streams or has made calls within the last second: at most twice as many as there ever
// were of those at a time.
class Limits {
 public:
  // Both outlive it, and it outlives its places.
  Limits(Scheduler* clock, metrics::LimitReporter* reporter, const LimitsOptions& options);
  ~Limits();
  Limits(const Limits&) = delete;
  Limits& operator=(const Limits&) = delete;

 private:
  using Targets = absl::node_hash_map<consul::Target, int64_t>;
  using Target = Targets::value_type;
  struct Use {
    int64_t streams = 0;
    // With the streams of each; while they are limited.
    Targets targets;
    // While calls are limited.
    std::optional<consul::TokenBucket> requests;
  };
  using Callers = absl::node_hash_map<std::string, Use>;
  using Caller = Callers::value_type;

 public:
  // One stream's, until it is destroyed, on any thread.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // What the stream watches. At most once. RESOURCE_EXHAUSTED (TOO_MANY_TARGETS).
    absl::Status TakeTarget(const consul::Target& target);

   private:
    friend class Limits;
    explicit Place(Limits* limits) : limits_(limits) {}

    Limits* const limits_;
    // Null: not counted.
    Caller* caller_ = nullptr;
    Target* callers_target_ = nullptr;
    Target* target_ = nullptr;
  };

  // A call begins. `caller` says whose (CallerKey()), and is asked where that matters. RESOURCE_EXHAUSTED
  // (TOO_MANY_REQUESTS), with when to come back.
  absl::Status TakeRequest(absl::FunctionRef<std::string()> caller);

  // A stream begins. RESOURCE_EXHAUSTED (TOO_MANY_STREAMS).
  absl::StatusOr<std::unique_ptr<Place>> OpenStream(const std::string& caller);

  // That are remembered.
  size_t callers();

 private:
  using Limit = metrics::LimitReporter::Limit;
  using Scope = metrics::LimitReporter::Scope;

  Caller& CallerLocked(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetIdleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeTarget(const consul::Target& target, Place* place);
  void Leave(Place* place);
  absl::Status Refuse(Limit limit, Scope scope, absl::Duration wait);

  Scheduler* const clock_;
  metrics::LimitReporter* const reporter_;
  const LimitsOptions options_;
  const bool counts_streams_;

  Mutex mu_;
  Callers callers_ ABSL_GUARDED_BY(mu_);
  // Callers at which those that are idle are looked for.
  size_t forget_at_ ABSL_GUARDED_BY(mu_);
  int64_t streams_ ABSL_GUARDED_BY(mu_) = 0;
  Targets targets_ ABSL_GUARDED_BY(mu_);
  std::optional<consul::TokenBucket> requests_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server::limits

#endif  // MESHGATE_SERVER_LIMITS_LIMITS_H_
