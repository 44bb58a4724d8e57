#ifndef MESHGATE_TESTS_TESTING_FAKE_RELAY_H_
#define MESHGATE_TESTS_TESTING_FAKE_RELAY_H_

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/relay.h"

namespace meshgate::testing {

// A Relay without a Consul: keeps what is sent, and answers what the test says, on the test's thread. Weaker than the
// contract, what is cancelled ends only when the test says so. Thread-safe.
class FakeRelay final : public consul::Relay {
 public:
  // One request. The test's methods are for one thread at a time.
  class Sent final : public consul::RelayCall {
   public:
    Sent(consul::RelayRequest sent, std::shared_ptr<consul::RelaySink> told)
        : request(std::move(sent)), sink_(std::move(told)) {}

    const consul::RelayRequest request;

    void Head(int status, consul::HeaderList headers = {}) { sink_->OnHead({status, std::move(headers)}); }
    // Whether it was taken.
    bool Body(std::string_view bytes) { return sink_->OnBody(bytes); }
    void End(const absl::Status& status = absl::OkStatus()) {
      sink_->OnEnd(status);
      Forget();
    }
    // A sink and its call hold each other until its end.
    void Forget() { sink_ = nullptr; }
    void Answer(int status, std::string_view body, consul::HeaderList headers = {}) {
      Head(status, std::move(headers));
      if (!body.empty()) Body(body);
      End();
    }

    bool cancelled() const {
      MutexLock lock(mu_);
      return cancelled_;
    }
    int resumed() const {
      MutexLock lock(mu_);
      return resumed_;
    }
    // Each waits, for half a minute at most; false: in vain.
    bool WaitForCancel() {
      return Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return cancelled_; });
    }
    bool WaitForResume(int count) {
      return Await([this, count]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return resumed_ >= count; });
    }

    // ---- consul::RelayCall
    void Cancel() override {
      MutexLock lock(mu_);
      cancelled_ = true;
      changed_.NotifyAll();
    }
    void Resume() override {
      MutexLock lock(mu_);
      ++resumed_;
      changed_.NotifyAll();
    }

   private:
    template <typename Condition>
    bool Await(Condition condition) {
      const absl::Time end = absl::Now() + absl::Seconds(30);
      MutexLock lock(mu_);
      while (!condition()) {
        if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
      }
      return true;
    }

    std::shared_ptr<consul::RelaySink> sink_;
    mutable Mutex mu_;
    CondVar changed_;
    bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
    int resumed_ ABSL_GUARDED_BY(mu_) = 0;
  };

  ~FakeRelay() override { Shutdown(); }

  // Tells nobody anything any more. What sinks need is still there.
  void Shutdown() {
    std::vector<std::weak_ptr<Sent>> all;
    {
      MutexLock lock(mu_);
      all.swap(all_);
    }
    for (const auto& weak : all) {
      if (const auto sent = weak.lock()) sent->Forget();
    }
  }

  // ---- consul::Relay
  std::shared_ptr<consul::RelayCall> Send(consul::RelayRequest request,
                                          std::shared_ptr<consul::RelaySink> sink) override {
    auto sent = std::make_shared<Sent>(std::move(request), std::move(sink));
    MutexLock lock(mu_);
    waiting_.push_back(sent);
    all_.push_back(sent);
    ++count_;
    changed_.NotifyAll();
    return sent;
  }

  // The oldest that was not taken yet; null where there is none.
  std::shared_ptr<Sent> Take() {
    MutexLock lock(mu_);
    return TakeLocked();
  }
  // The same, for which it waits, for half a minute at most.
  std::shared_ptr<Sent> WaitAndTake() {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    MutexLock lock(mu_);
    while (waiting_.empty()) {
      if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) break;
    }
    return TakeLocked();
  }
  // All there ever were.
  int count() const {
    MutexLock lock(mu_);
    return count_;
  }

 private:
  std::shared_ptr<Sent> TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (waiting_.empty()) return nullptr;
    std::shared_ptr<Sent> oldest = std::move(waiting_.front());
    waiting_.pop_front();
    return oldest;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::deque<std::shared_ptr<Sent>> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<std::weak_ptr<Sent>> all_ ABSL_GUARDED_BY(mu_);
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_FAKE_RELAY_H_
