// A ConsulBackend with what it needs, for tests of what only a real agent can do.
#ifndef MESHGATE_TESTS_INTEGRATION_LIVE_BACKEND_H_
#define MESHGATE_TESTS_INTEGRATION_LIVE_BACKEND_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/http/consul_backend.h"
#include "consul/reporter.h"
#include "tests/testing/pending.h"

namespace meshgate::consul {

// Remembers what the backend tells about its traffic.
class RecordingReporter final : public BackendReporter {
 public:
  void OnRequest(Endpoint endpoint, int http_code, absl::Duration) override {
    MutexLock lock(mu_);
    ++requests_[{endpoint, http_code}];
  }
  void OnConnections(int open) override {
    MutexLock lock(mu_);
    connections_ = open;
  }
  void OnBreaker(Breaker state) override {
    MutexLock lock(mu_);
    breaker_ = state;
    changed_.NotifyAll();
  }
  void OnAgent(std::string_view url) override {
    MutexLock lock(mu_);
    agents_.emplace_back(url);
  }
  // Waits until the breaker is in `state`. False: not within a minute.
  bool WaitForBreaker(Breaker state) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    MutexLock lock(mu_);
    while (breaker_ != state) {
      if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
    }
    return true;
  }
  // Those that came into use after the first one.
  std::vector<std::string> agents() {
    MutexLock lock(mu_);
    return agents_;
  }
  int requests(Endpoint endpoint, int http_code) {
    MutexLock lock(mu_);
    return requests_[{endpoint, http_code}];
  }
  int connections() {
    MutexLock lock(mu_);
    return connections_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  Breaker breaker_ ABSL_GUARDED_BY(mu_) = Breaker::kClosed;
  std::vector<std::string> agents_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<Endpoint, int>, int> requests_ ABSL_GUARDED_BY(mu_);
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
};

class LiveBackend {
 public:
  using Entries = std::vector<KvEntry>;
  template <typename T>
  using Result = absl::StatusOr<T>;
  using PendingEntries = testing::Pending<Result<Answer<Entries>>>;

  static constexpr absl::Duration kBound = absl::Seconds(60);

  explicit LiveBackend(const http::ConsulBackendOptions& options) {
    auto backend = http::ConsulBackend::Create(options, &scheduler_, &reporter_);
    EXPECT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  Backend& operator*() { return *backend_; }
  Backend* operator->() { return backend_.get(); }
  RecordingReporter& reporter() { return reporter_; }
  Scheduler* scheduler() { return &scheduler_; }

  Result<Answer<Entries>> ReadKey(const std::string& key, const ReadOptions& options = {}) {
    PendingEntries pending;
    backend_->ReadKey(key, options, pending.Callback());
    return pending.Get(kBound).value_or(absl::UnknownError("no answer"));
  }

  PendingEntries Watch(const std::string& key, uint64_t index, absl::Duration wait = absl::Minutes(1)) {
    PendingEntries pending;
    ReadOptions options;
    options.index = index;
    options.wait = wait;
    backend_->ReadKey(key, options, pending.Callback());
    return pending;
  }

  Result<KvEntry> Put(const std::string& key, const std::string& value, const WriteOptions& options = {}) {
    testing::Pending<Result<KvEntry>> pending;
    backend_->PutKey(KvEntry{key, value}, std::nullopt, options, pending.Callback());
    return pending.Get(kBound).value_or(absl::UnknownError("no answer"));
  }

  // Runs `start(callback)`, a call that answers with a status alone.
  template <typename Start>
  absl::Status Await(Start start) {
    testing::Pending<absl::Status> pending;
    start(pending.Callback());
    return pending.Get(kBound).value_or(absl::UnknownError("no answer"));
  }

 private:
  RecordingReporter reporter_;
  ThreadPoolScheduler scheduler_{2, "live"};
  std::unique_ptr<Backend> backend_;
};

// "OK" or the code's name with the reason.
inline std::string OutcomeOf(const absl::Status& status) {
  if (status.ok()) return "OK";
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", ReasonOf(status));
}

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_INTEGRATION_LIVE_BACKEND_H_
