#ifndef MESHGATE_SERVER_SERVICE_PENDING_REPLY_H_
#define MESHGATE_SERVER_SERVICE_PENDING_REPLY_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "consul/base/errors.h"

namespace meshgate::server {

// A Reply<Response> for a transport's call: `call->OnReply(StatusOr<Response>)`, once, on whichever thread answers.
// Where it is let go uncalled, which happens to work that a stopping process drops, that is UNAVAILABLE (DRAINING).
// Keeps the call alive until then. Move-only.
template <typename Call, typename Response>
class PendingReply {
 public:
  explicit PendingReply(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  PendingReply(PendingReply&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  ~PendingReply() {
    if (call_ == nullptr) return;
    (*this)(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                      "the gateway is stopping and has dropped this call; try again"));
  }

  void operator()(absl::StatusOr<Response> response) {
    const std::shared_ptr<Call> call = std::exchange(call_, nullptr);
    call->OnReply(std::move(response));
  }

 private:
  std::shared_ptr<Call> call_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_PENDING_REPLY_H_
