#ifndef MESHGATE_METRICS_ALLOW_LIST_REPORTER_H_
#define MESHGATE_METRICS_ALLOW_LIST_REPORTER_H_

#include <cstddef>

namespace meshgate::metrics {

// What is told of the list of who may do what. Thread-safe and cheap.
class AllowListReporter {
 public:
  virtual ~AllowListReporter() = default;
  // The list that is in use.
  virtual void OnList(size_t identities) {}
  // Its file has changed, and is in use or cannot be.
  virtual void OnReload(bool in_use) {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_ALLOW_LIST_REPORTER_H_
