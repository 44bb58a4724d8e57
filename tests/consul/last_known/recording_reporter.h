#ifndef MESHGATE_TESTS_CONSUL_LAST_KNOWN_RECORDING_REPORTER_H_
#define MESHGATE_TESTS_CONSUL_LAST_KNOWN_RECORDING_REPORTER_H_

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/reporter.h"

namespace meshgate::consul {

// Keeps what it is told, and waits for it.
class RecordingReporter final : public StateStoreReporter {
 public:
  void OnCondition(const absl::Status& condition) override {
    MutexLock lock(mu_);
    conditions_.push_back(condition);
    changed_.NotifyAll();
  }
  void OnError(Operation operation) override {
    MutexLock lock(mu_);
    ++errors_[static_cast<int>(operation)];
    changed_.NotifyAll();
  }
  void OnDamage(std::string_view what) override {
    MutexLock lock(mu_);
    damage_.emplace_back(what);
    changed_.NotifyAll();
  }
  void OnKept(int64_t targets, int64_t bytes) override {
    MutexLock lock(mu_);
    ++batches_;
    targets_ = targets;
    bytes_ = bytes;
    changed_.NotifyAll();
  }

  // The last condition is `ok`; false where it does not become so within a minute.
  bool WaitForCondition(bool ok) {
    return WaitUntil(
        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !conditions_.empty() && conditions_.back().ok() == ok; });
  }
  bool WaitForTargets(int64_t targets) {
    return WaitUntil([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return batches_ > 0 && targets_ == targets; });
  }
  bool WaitForBatches(int64_t batches) {
    return WaitUntil([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return batches_ >= batches; });
  }
  bool WaitForErrors(Operation operation, int64_t count) {
    return WaitUntil([&]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return errors_[static_cast<int>(operation)] >= count; });
  }

  std::vector<absl::Status> conditions() const {
    MutexLock lock(mu_);
    return conditions_;
  }
  std::vector<std::string> damage() const {
    MutexLock lock(mu_);
    return damage_;
  }
  int64_t errors(Operation operation) const {
    MutexLock lock(mu_);
    return errors_[static_cast<int>(operation)];
  }
  int64_t batches() const {
    MutexLock lock(mu_);
    return batches_;
  }

 private:
  template <typename Predicate>
  bool WaitUntil(Predicate predicate) {
    const absl::Time until = absl::Now() + absl::Minutes(1);
    MutexLock lock(mu_);
    while (!predicate()) {
      if (!changed_.WaitUntil(mu_, until)) return predicate();
    }
    return true;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::vector<absl::Status> conditions_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> damage_ ABSL_GUARDED_BY(mu_);
  int64_t errors_[kStateStoreOperations] ABSL_GUARDED_BY(mu_) = {};
  int64_t batches_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t targets_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_CONSUL_LAST_KNOWN_RECORDING_REPORTER_H_
