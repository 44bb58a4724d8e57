// Calls whose handlers are ours, served from the loop.
#ifndef MESHGATE_SERVER_WIRE_NATIVE_CALL_H_
#define MESHGATE_SERVER_WIRE_NATIVE_CALL_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/errors.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "google/protobuf/message.h"
#include "server/auth/guard.h"
#include "server/call_scope.h"
#include "server/call_tracker.h"
#include "server/limits/admission.h"
#include "server/service/call.h"
#include "server/service/pending_reply.h"
#include "server/service/request_parser.h"
#include "server/stream/stream_set.h"
#include "server/wire/call.h"
#include "server/wire/event_loop.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {

// What native calls share. All of it outlives them.
struct NativeEnvironment {
  Scheduler* scheduler;
  consul::WatchReporter* watches;
  StreamSet* streams;
  CallTracker* calls;
  // Null: callers are taken for whom they are.
  auth::Guard* guard = nullptr;
  // Null: nobody counts what they use.
  limits::Limits* limits = nullptr;
};

// What they have in common: who calls, metrics, the log, and one end.
class NativeCall : public Call {
 public:
  void OnClosed(Why why) override;
  Ending OnStalled(absl::Duration stalled) override;

 protected:
  NativeCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment);

  // Counts and logs the end. The first one counts; returns whether this was it.
  bool End(const absl::Status& status);
  // What a call does when it has ended, before its stream does.
  virtual void OnEnd(const absl::Status& status) {}
  // What the call is about, for the log.
  virtual std::string Subject() const = 0;
  // End(), and the stream with it.
  void Finish(const absl::Status& status);
  // Where the call has been told to end already, how.
  virtual absl::Status StalledStatus(absl::Duration stalled);

  // Null once the stream is over.
  Stream* stream_;
  EventLoop* const loop_;
  CallScope scope_;
  limits::Admission admission_;

 private:
  bool over_ = false;
};

// A unary call to `handler(const Request&, const Caller&, Reply<Response>)`, which may reply on any thread. Is answered
// with UNAVAILABLE where the handler lets its reply go without calling it, which happens to work that a stopping
// process drops.
template <typename Request, typename Response>
class UnaryCall final : public NativeCall, public std::enable_shared_from_this<UnaryCall<Request, Response>> {
 public:
  using Handler = std::function<void(const Request&, const Caller&, Reply<Response>)>;

  // `method` and `handler` outlive the call.
  UnaryCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment, const Handler* handler)
      : NativeCall(stream, method, environment), handler_(handler) {
    stream->SetHeaders({{CallScope::kRequestId, scope_.caller().request_id}});
    if (const absl::Status admitted = admission_.Admit(scope_.caller()); !admitted.ok()) Finish(admitted);
  }

  void OnMessage(std::string message) override {
    // A unary call has one; gRPC's own server does not look at more either.
    if (std::exchange(begun_, true)) return;
    scope_.reporter()->OnReceived();
    const absl::Status parsed = ParseRequest(message, &request_);
    if (!parsed.ok()) return Answer(parsed);
    held_ = kCopies * message.size();
    held_in_ = stream_->HoldBeyond(held_);
    if (held_in_ == nullptr) {
      return Answer(
          absl::ResourceExhaustedError("too many requests of this connection are being served: send fewer at a time"));
    }
    if (message.size() <= kMayWait && stream_->behind()) {
      waiting_ = true;
      return stream_->Ready();
    }
    Handle();
  }

  void OnHalfClose() override {
    if (begun_) return;
    Answer(MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, "the call carries no request"));
  }

  bool HasMore() const override { return waiting_; }
  SharedBytes NextMessage() override {
    if (std::exchange(waiting_, false)) Handle();
    return std::exchange(response_, nullptr);
  }

  void OnClosed(Why why) override {
    if (waiting_) Return();
    NativeCall::OnClosed(why);
  }

  // From the handler, on any thread.
  void OnReply(absl::StatusOr<Response> response) {
    if (loop_->OnThisThread()) return Answer(std::move(response));
    loop_->Post([call = this->shared_from_this(), response = std::move(response)]() mutable {
      call->Answer(std::move(response));
    });
  }

 private:
  // A request of at most so many bytes may wait until the peer has read more: those that are answered with much.
  static constexpr size_t kMayWait = 8 << 10;
  // Of a request, while it is served: here and on its way to Consul or to disk.
  static constexpr size_t kCopies = 2;

  std::string Subject() const override { return SubjectOf(request_); }

  void Handle() {
    (*handler_)(request_, scope_.caller(),
                Reply<Response>(PendingReply<UnaryCall, Response>(this->shared_from_this())));
  }

  void Return() {
    if (const auto budget = std::exchange(held_in_, nullptr)) budget->Return(held_);
  }

  void Answer(absl::StatusOr<Response> response) {
    Return();
    // Its caller has gone.
    if (stream_ == nullptr) return;
    if (response.ok()) {
      auto bytes = std::make_shared<const std::string>(response->SerializeAsString());
      if (stream_->HoldAnswer(bytes->size())) {
        response_ = std::move(bytes);
        scope_.reporter()->OnSent();
      } else {
        response = absl::ResourceExhaustedError(
            "too many answers of this connection are not taken: read them, or ask for fewer at a time");
      }
    }
    Finish(response.status());
  }

  const Handler* const handler_;
  Request request_;
  SharedBytes response_;
  // Where the request counts until it is answered, which may be long after its caller has gone.
  std::shared_ptr<MemoryBudget> held_in_;
  size_t held_ = 0;
  bool begun_ = false;
  bool waiting_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_NATIVE_CALL_H_
