#ifndef MESHGATE_SERVER_GRPC_HOLD_CALL_H_
#define MESHGATE_SERVER_GRPC_HOLD_CALL_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/grpc/call_scope.h"
#include "server/grpc/watch_call.h"
#include "server/hold/hold_stream.h"
#include "server/stream/outbox.h"
#include "server/stream/stream_set.h"

namespace meshgate::server {

// One HoldRegistration call between gRPC's callback API and a HoldStream.
//
// The stream decides what is written and when the call ends; this class carries that out, reads one message at a time,
// and keeps itself alive from the beginning of the call to OnDone(), and while the stream is inside StartWrite() or
// Finish(). gRPC may run OnDone() as soon as it was told the end, so the end waits for whoever still has to touch the
// call: see Pin().
class HoldCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                       public StreamWriter,
                       public std::enable_shared_from_this<HoldCall> {
 public:
  // What `environment` points to, and the keeper, outlive the call.
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(const StreamEnvironment& environment,
                                                                            HoldKeeper* keeper,
                                                                            const MethodInfo* method,
                                                                            grpc::CallbackServerContext* context);

  // From the stream.
  void StartWrite(consul::SharedMessage message) override;
  void Finish(const absl::Status& status) override;

 private:
  HoldCall(const StreamEnvironment& environment, const MethodInfo* method, grpc::CallbackServerContext* context);

  void Open(HoldKeeper* keeper);
  void ReadNext();

  // From gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Between Pin(), where it returned true, and Unpin() gRPC is not told the end, and the call and its context stay
  // valid. False: the end has been told, or is about to be.
  bool Pin();
  void Unpin();

  // The deadline of a write, which is shorter during a drain. One timer serves many writes.
  void HurryUp();
  void ArmTimerLocked(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer();

  // Constant after construction.
  const StreamEnvironment environment_;
  grpc::CallbackServerContext* const context_;

  // Set in Open(), let go in OnDone(); in between used without a lock.
  std::unique_ptr<CallScope> scope_;
  std::shared_ptr<HoldStream> stream_;
  std::unique_ptr<StreamSet::Membership> membership_;
  std::shared_ptr<HoldCall> self_;

  // The message that is being read, and the one that is being written.
  grpc::ByteBuffer in_, out_;

  Mutex mu_;
  int pins_ ABSL_GUARDED_BY(mu_) = 0;
  // The end that was decided, and whether gRPC was told.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  bool told_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool timer_set_ ABSL_GUARDED_BY(mu_) = false;
  bool hurried_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration write_timeout_ ABSL_GUARDED_BY(mu_);
  absl::Time write_began_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_HOLD_CALL_H_
