#ifndef MESHGATE_METRICS_LIMIT_REPORTER_H_
#define MESHGATE_METRICS_LIMIT_REPORTER_H_

namespace meshgate::metrics {

// What the gateway tells about callers' budgets. Thread-safe and cheap.
class LimitReporter {
 public:
  enum class Limit { kRequests, kStreams, kTargets };
  static constexpr int kLimits = 3;
  // Whose budget: one caller's, or that of all together.
  enum class Scope { kCaller, kAll };
  static constexpr int kScopes = 2;

  virtual ~LimitReporter() = default;
  virtual void OnRefused(Limit limit, Scope scope) {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_LIMIT_REPORTER_H_
