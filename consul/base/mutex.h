// Annotated std::mutex, so that clang's -Wthread-safety checks our locking.
//
// Not absl::Mutex: the system's Abseil is built without ThreadSanitizer's annotations, which then reports races that
// are none. std::mutex is understood by ThreadSanitizer as it is.
#ifndef MESHGATE_CONSUL_BASE_MUTEX_H_
#define MESHGATE_CONSUL_BASE_MUTEX_H_

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace meshgate {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Lower case: BasicLockable, for CondVar.
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  std::mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_.lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

class CondVar {
 public:
  // `mu` is held on entry and on return. May wake spuriously: call it in a loop over the condition.
  void Wait(Mutex& mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { cv_.wait(mu); }
  // As Wait(), and returns false once `until` has passed on the wall clock.
  bool WaitUntil(Mutex& mu, absl::Time until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return cv_.wait_until(mu, absl::ToChronoTime(until)) == std::cv_status::no_timeout;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable_any cv_;
};

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_MUTEX_H_
