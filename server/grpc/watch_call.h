#ifndef MESHGATE_SERVER_GRPC_WATCH_CALL_H_
#define MESHGATE_SERVER_GRPC_WATCH_CALL_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/grpc/bytes.h"
#include "server/grpc/call_scope.h"
#include "server/stream/outbox.h"
#include "server/stream/stream_set.h"

namespace meshgate::server {

// What streams share. All of it outlives them.
struct StreamEnvironment {
  Scheduler* scheduler;
  consul::WatchReporter* reporter;
  StreamSet* streams;
  CallTracker* calls;
  // A single write that takes longer has met a reader that is gone or does not read: that stream alone ends, with
  // UNAVAILABLE (SLOW_READER), so that a reader that lives comes back and gets the difference.
  absl::Duration write_timeout = absl::Minutes(2);
  // The same during a drain, for which a reader that does not read must not hold up the process.
  absl::Duration drain_write_timeout = absl::Seconds(1);
};

// One server stream between gRPC's callback API and an Outbox.
//
// The outbox decides when to write and when to finish; this class carries that out, and keeps itself alive from the
// beginning of the call to OnDone(), and while the outbox is inside StartWrite() or Finish(), because gRPC may run
// OnDone() on another thread before those have returned. Messages go out as the hub encoded them, without a copy.
//
// What a reader that does not read holds: the message in flight, which it shares with everybody who is sent the same.
// gRPC reports a write as done when HTTP/2's flow control has let all of it pass, so beside it a connection holds what
// its peer has granted and the socket has not taken, at most a megabyte and one such message.
class WatchCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                        public StreamWriter,
                        public std::enable_shared_from_this<WatchCall> {
 public:
  // Parses `raw` and calls `handler(const Request&, const Caller&, const std::shared_ptr<Outbox>&)`, which starts the
  // outbox or ends it.
  template <typename Request, typename Handler>
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(const StreamEnvironment& environment,
                                                           const MethodInfo* method,
                                                           grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* raw, Handler handler) {
    auto request = std::make_unique<Request>();
    const absl::Status parsed = ParseBuffer(*raw, request.get());
    const Request& typed = *request;
    std::shared_ptr<WatchCall> call(new WatchCall(environment, method, context, std::move(request)));
    call->Open();
    if (parsed.ok()) {
      handler(typed, call->scope_->caller(), call->outbox_);
    } else {
      call->outbox_->End(parsed);
    }
    // Alive through its own reference: OnDone() comes after gRPC was given the reactor.
    return call.get();
  }

  // Ends a call under a write that gRPC would hold for ever. Its reader is told UNAVAILABLE all the same.
  static void Cut(grpc::CallbackServerContext* context, const std::string& message);

  // From the outbox.
  void StartWrite(consul::SharedMessage message) override;
  void Finish(const absl::Status& status) override;

 private:
  WatchCall(const StreamEnvironment& environment, const MethodInfo* method, grpc::CallbackServerContext* context,
            std::unique_ptr<google::protobuf::Message> request);

  void Open();

  // From gRPC.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // From the set of streams: what is being written has no more than `drain_write_timeout`.
  void HurryUp();

  // The deadline of a write. One timer serves many writes: it is set again for what is left of the current one.
  void ArmTimerLocked(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer();

  // Constant after construction.
  const StreamEnvironment environment_;
  grpc::CallbackServerContext* const context_;
  const std::unique_ptr<const google::protobuf::Message> request_;

  // Set in Open(), let go in OnDone(); in between used without a lock.
  std::unique_ptr<CallScope> scope_;
  std::shared_ptr<Outbox> outbox_;
  std::unique_ptr<StreamSet::Membership> membership_;
  std::shared_ptr<WatchCall> self_;

  // The message in flight, unchanged until OnWriteDone().
  grpc::ByteBuffer buffer_;

  Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool timer_set_ ABSL_GUARDED_BY(mu_) = false;
  bool hurried_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration write_timeout_ ABSL_GUARDED_BY(mu_);
  absl::Time write_began_ ABSL_GUARDED_BY(mu_);
  // While the timer cancels the call, the end of the write is kept back: as long as the outbox does not know of it, it
  // does not finish, and the context stays valid.
  bool cancelling_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<bool> kept_back_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_WATCH_CALL_H_
