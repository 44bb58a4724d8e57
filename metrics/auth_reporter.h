#ifndef MESHGATE_METRICS_AUTH_REPORTER_H_
#define MESHGATE_METRICS_AUTH_REPORTER_H_

#include "absl/time/time.h"

namespace meshgate::metrics {

// What the gateway tells about callers' permissions. Thread-safe and cheap.
class AuthReporter {
 public:
  // Of what a delivery, a read or a stream that idles needed to know: all of it is allowed, some is not, Consul does
  // not know the token, Consul did not tell, or it was known from another one's question.
  enum class Result { kAllowed, kDenied, kUnknownToken, kUnavailable, kCached };
  static constexpr int kResults = 5;

  virtual ~AuthReporter() = default;
  virtual void OnCheck(Result result) {}
  // A question to Consul has been answered, or has failed.
  virtual void OnAnswered(absl::Duration took) {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_AUTH_REPORTER_H_
