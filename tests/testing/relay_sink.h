#ifndef MESHGATE_TESTS_TESTING_RELAY_SINK_H_
#define MESHGATE_TESTS_TESTING_RELAY_SINK_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "consul/relay.h"

namespace meshgate::testing {

// Keeps what a relay tells, and says where that breaks its contract. Made by the thread that sends the request.
// Thread-safe.
class RecordingSink final : public consul::RelaySink {
 public:
  // Decides about each piece; called on the relay's thread. May be null: takes all.
  using Takes = std::function<bool(std::string_view bytes)>;

  explicit RecordingSink(Takes takes = nullptr) : takes_(std::move(takes)) {}

  void OnHead(consul::RelayHead head) override {
    MutexLock lock(mu_);
    CheckThread();
    if (heads_++ != 0 || !body_.empty() || ends_ != 0) breach_ = "a head that is not the first word";
    head_ = std::move(head);
    changed_.NotifyAll();
  }

  bool OnBody(std::string_view bytes) override {
    const bool takes = takes_ == nullptr || takes_(bytes);
    MutexLock lock(mu_);
    CheckThread();
    if (heads_ != 1 || ends_ != 0) breach_ = "a body before its head or after its end";
    if (paused_) breach_ = "more bytes though it was not resumed";
    if (bytes.size() > largest_) largest_ = bytes.size();
    if (takes) {
      body_.append(bytes);
    } else {
      ++refused_;
      paused_ = true;
    }
    changed_.NotifyAll();
    return takes;
  }

  void OnEnd(const absl::Status& status) override {
    MutexLock lock(mu_);
    CheckThread();
    if (ends_++ != 0) breach_ = "a second end";
    outcome_ = status.ok() ? "OK" : absl::StrCat(absl::StatusCodeToString(status.code()), " ", ReasonOf(status));
    message_ = std::string(status.message());
    changed_.NotifyAll();
  }

  // Before RelayCall::Resume() is called.
  void Resuming() {
    MutexLock lock(mu_);
    paused_ = false;
  }

  // Each waits, for half a minute at most; false: in vain.
  bool WaitForHead() {
    return Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return heads_ != 0; });
  }
  bool WaitForBody(size_t bytes) {
    return Await([this, bytes]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return body_.size() >= bytes; });
  }
  bool WaitForRefusal(int count) {
    return Await([this, count]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return refused_ >= count; });
  }
  // Until more than `count` were refused (true), or the end (false).
  bool WaitForNextRefusal(int count) {
    Await([this, count]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return refused_ > count || ends_ != 0; });
    return refused() > count;
  }
  // "OK", or the code's name and the reason; "" where it does not come.
  std::string WaitForEnd() {
    Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ends_ != 0; });
    MutexLock lock(mu_);
    return outcome_;
  }

  consul::RelayHead head() {
    MutexLock lock(mu_);
    return head_;
  }
  // The first one of that name, or "none".
  std::string header(std::string_view name) {
    MutexLock lock(mu_);
    for (const auto& [known, value] : head_.headers) {
      if (known == name) return value;
    }
    return "none";
  }
  std::string body() {
    MutexLock lock(mu_);
    return body_;
  }
  std::string message() {
    MutexLock lock(mu_);
    return message_;
  }
  bool has_head() {
    MutexLock lock(mu_);
    return heads_ != 0;
  }
  int ends() {
    MutexLock lock(mu_);
    return ends_;
  }
  int refused() {
    MutexLock lock(mu_);
    return refused_;
  }
  // Of one piece.
  size_t largest() {
    MutexLock lock(mu_);
    return largest_;
  }
  // Empty where all was as relay.h says.
  std::string breach() {
    MutexLock lock(mu_);
    return breach_;
  }

 private:
  bool Await(const std::function<bool()>& condition) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    MutexLock lock(mu_);
    while (!condition()) {
      if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
    }
    return true;
  }

  void CheckThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (std::this_thread::get_id() == sender_) breach_ = "told inside the call";
  }

  const Takes takes_;
  const std::thread::id sender_ = std::this_thread::get_id();
  Mutex mu_;
  CondVar changed_;
  consul::RelayHead head_ ABSL_GUARDED_BY(mu_);
  int heads_ ABSL_GUARDED_BY(mu_) = 0;
  std::string body_ ABSL_GUARDED_BY(mu_);
  size_t largest_ ABSL_GUARDED_BY(mu_) = 0;
  int refused_ ABSL_GUARDED_BY(mu_) = 0;
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
  int ends_ ABSL_GUARDED_BY(mu_) = 0;
  std::string outcome_ ABSL_GUARDED_BY(mu_);
  std::string message_ ABSL_GUARDED_BY(mu_);
  std::string breach_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_RELAY_SINK_H_
