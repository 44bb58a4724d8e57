#include "client/cancellation.h"

#include <utility>

#include "grpcpp/client_context.h"

namespace meshgate::client {

// TryCancel() is called under the lock: a Scope that ends meanwhile waits for it, so the context is still there. It
// only posts work to gRPC and calls nobody back.
void Cancellation::Cancel() {
  std::lock_guard<std::mutex> lock(mu_);
  if (std::exchange(cancelled_, true)) return;
  for (grpc::ClientContext* context : in_progress_) context->TryCancel();
  for (const Hook* hook : hooks_) hook->hook_();
  cv_.notify_all();
}

bool Cancellation::cancelled() const {
  std::lock_guard<std::mutex> lock(mu_);
  return cancelled_;
}

bool Cancellation::Sleep(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mu_);
  return !cv_.wait_for(lock, absl::ToChronoMilliseconds(duration), [this] { return cancelled_; });
}

Cancellation::Scope::Scope(Cancellation* cancellation, grpc::ClientContext* context)
    : cancellation_(cancellation), context_(context) {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  if (cancellation_->cancelled_) context_->TryCancel();
  cancellation_->in_progress_.insert(context_);
}

Cancellation::Scope::~Scope() {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  cancellation_->in_progress_.erase(context_);
}

Cancellation::Hook::Hook(Cancellation* cancellation, std::function<void()> hook)
    : cancellation_(cancellation), hook_(std::move(hook)) {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  if (cancellation_->cancelled_) hook_();
  cancellation_->hooks_.insert(this);
}

Cancellation::Hook::~Hook() {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  cancellation_->hooks_.erase(this);
}

}  // namespace meshgate::client
