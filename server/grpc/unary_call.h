#ifndef MESHGATE_SERVER_GRPC_UNARY_CALL_H_
#define MESHGATE_SERVER_GRPC_UNARY_CALL_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/errors.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/grpc/bytes.h"
#include "server/grpc/call_scope.h"
#include "server/grpc/status.h"
#include "server/service/call.h"

namespace meshgate::server {

// One unary call between gRPC's callback API and a handler `void(const Request&, const Caller&, Reply<Response>)`.
// Finishes exactly once: with the reply, or with UNAVAILABLE when the handler lets its reply go without calling it,
// which happens to work that a stopping process drops. Owns itself until gRPC is done.
template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // `raw` is the request, used in here; `out` lives until the call is finished.
  template <typename Handler>
  static grpc::ServerUnaryReactor* Start(const MethodInfo* method, CallTracker* tracker,
                                         grpc::CallbackServerContext* context, const grpc::ByteBuffer* raw,
                                         grpc::ByteBuffer* out, Handler handler) {
    auto* call = new UnaryCall(method, tracker, context, out);
    call->scope_.reporter()->OnReceived();
    if (absl::Status status = ParseBuffer(*raw, &call->request_); !status.ok()) {
      call->Answer(std::move(status));
    } else {
      handler(call->request_, call->scope_.caller(), Reply<Response>(PendingReply(call)));
    }
    // Possibly finished, but not gone: OnDone() comes after gRPC was given the reactor.
    return call;
  }

 private:
  // Move-only; the answer is due until it has been called.
  class PendingReply {
   public:
    explicit PendingReply(UnaryCall* call) : call_(call) {}
    PendingReply(PendingReply&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
    ~PendingReply() {
      if (call_ == nullptr) return;
      call_->Answer(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                              "the gateway is stopping and has dropped this call; try again"));
    }
    void operator()(absl::StatusOr<Response> response) { std::exchange(call_, nullptr)->Answer(std::move(response)); }

   private:
    UnaryCall* call_;
  };

  UnaryCall(const MethodInfo* method, CallTracker* tracker, grpc::CallbackServerContext* context, grpc::ByteBuffer* out)
      : scope_(method, tracker, context), out_(out) {}

  void Answer(absl::StatusOr<Response> response) {
    scope_.OnFinished(response.status(), &request_);
    if (response.ok()) {
      *out_ = Serialize(*response);
      scope_.reporter()->OnSent();
    }
    // The last thing that touches this: OnDone() may run before it returns.
    Finish(ToGrpcStatus(response.status()));
  }

  void OnDone() override { delete this; }

  const CallScope scope_;
  Request request_;
  grpc::ByteBuffer* const out_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_UNARY_CALL_H_
