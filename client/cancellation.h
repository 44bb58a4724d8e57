#ifndef MESHGATE_CLIENT_CANCELLATION_H_
#define MESHGATE_CLIENT_CANCELLATION_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>

#include "absl/time/time.h"

namespace grpc {
class ClientContext;
}

namespace meshgate::client {

// Ends calls and waits from another thread, once and for good: a signal, a shutdown. Thread-safe.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // Cancels the calls in progress, which then fail with CANCELLED, and every later one. Idempotent.
  void Cancel();

  bool cancelled() const;

  // Waits for `duration`. Returns false at once when cancelled.
  bool Sleep(absl::Duration duration);

  // Ties a call to this cancellation while it lives. A null `cancellation` ties it to nothing.
  class Scope {
   public:
    Scope(Cancellation* cancellation, grpc::ClientContext* context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Cancellation* const cancellation_;
    grpc::ClientContext* const context_;
  };

  // Calls `hook` at the cancellation, where that comes while this lives, or at once where it has come. It must not
  // block, nor use the cancellation. A null `cancellation` never calls it.
  class Hook {
   public:
    Hook(Cancellation* cancellation, std::function<void()> hook);
    ~Hook();
    Hook(const Hook&) = delete;
    Hook& operator=(const Hook&) = delete;

   private:
    friend class Cancellation;
    Cancellation* const cancellation_;
    const std::function<void()> hook_;
  };

 private:
  mutable std::mutex mu_;
  std::condition_variable cv_;
  bool cancelled_ = false;                      // Guarded by mu_.
  std::set<grpc::ClientContext*> in_progress_;  // Guarded by mu_.
  std::set<const Hook*> hooks_;                 // Guarded by mu_.
};

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_CANCELLATION_H_
