#ifndef MESHGATE_TESTS_TESTING_PENDING_H_
#define MESHGATE_TESTS_TESTING_PENDING_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace meshgate::testing {

// The result of one asynchronous call, for a test that has to wait for it. Copies share the result. Thread-safe.
template <typename T>
class Pending {
 public:
  // To hand to the call. It may outlive this object.
  absl::AnyInvocable<void(T)> Callback() {
    return [shared = shared_](T value) {
      std::lock_guard<std::mutex> lock(shared->mu);
      ++shared->calls;
      if (shared->calls == 1) shared->value.emplace(std::move(value));
      shared->cv.notify_all();
    };
  }

  // Whether the call has answered, after at most `bound`.
  bool Wait(absl::Duration bound) const {
    std::unique_lock<std::mutex> lock(shared_->mu);
    return shared_->cv.wait_for(lock, absl::ToChronoMicroseconds(bound), [&] { return shared_->calls > 0; });
  }

  bool ready() const { return calls() > 0; }

  // How often it was called; anything but 0 and 1 breaks the contract of whoever calls.
  int calls() const {
    std::lock_guard<std::mutex> lock(shared_->mu);
    return shared_->calls;
  }

  // The first result, or nothing when none came within `bound`. Once: it moves out, because ThreadSanitizer does not
  // see into the system's absl::Status and takes two threads that share one for a race.
  std::optional<T> Get(absl::Duration bound) const {
    if (!Wait(bound)) return std::nullopt;
    std::lock_guard<std::mutex> lock(shared_->mu);
    return std::exchange(shared_->value, std::nullopt);
  }

 private:
  struct Shared {
    std::mutex mu;
    std::condition_variable cv;
    int calls = 0;
    std::optional<T> value;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_PENDING_H_
