#ifndef MESHGATE_SERVER_HOLD_HOLD_STREAM_H_
#define MESHGATE_SERVER_HOLD_HOLD_STREAM_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/hold/hold_keeper.h"
#include "server/stream/outbox.h"

namespace meshgate::server {

// A stream that sends nothing holds nothing for longer.
inline constexpr absl::Duration kFirstMessageWithin = absl::Seconds(10);
inline constexpr absl::Duration kDefaultLinger = absl::Seconds(10);
inline constexpr absl::Duration kMaxLinger = absl::Minutes(10);

// One HoldRegistration stream without a transport: checks what comes, claims the instance, and says through an Outbox
// how it stands, the latest state alone.
//
// The end of the caller's messages is either a half-close or the first sign of a broken connection, and transports do
// not say which: gRPC tells of a cancellation at any time around it. So the state is sent once more, and only when that
// has gone out is the instance deregistered: a stream that is broken cannot be written to.
//
// The transport calls OnMessage(), OnMalformed() and OnReadsDone() one at a time; the rest of it may run beside them.
class HoldStream final : public StreamWriter, public HoldListener, public std::enable_shared_from_this<HoldStream> {
 public:
  // `transport` is called until its Finish(), and is kept alive by itself until that has returned. The others outlive
  // the stream.
  HoldStream(StreamWriter* transport, Scheduler* scheduler, HoldKeeper* keeper);
  ~HoldStream() override;

  // Waits for the first message from here on.
  void Open();

  // To end the stream from outside, as a drain does. An end with reason DRAINING leaves the instance registered.
  const std::shared_ptr<Outbox>& outbox() const { return outbox_; }

  // ---- From the transport.
  void OnMessage(const v1::HoldRegistrationRequest& request);
  // A message that did not parse.
  void OnMalformed(absl::Status status) { outbox_->End(std::move(status)); }
  // No message will follow.
  void OnReadsDone();
  void OnWriteDone(bool ok);
  void OnCancelled() { outbox_->OnCancelled(); }

  // The id, once the first message was good: for the log.
  std::string id() const;

 private:
  class States;

  // From the outbox.
  void StartWrite(consul::SharedMessage message) override { transport_->StartWrite(std::move(message)); }
  void Finish(const absl::Status& status) override;

  // From the keeper.
  void OnHoldChanged() override { outbox_->Wake(); }
  void OnHoldEnded(absl::Status status) override { outbox_->End(std::move(status)); }

  void OnFirst(const v1::HoldRegistrationRequest& request);
  void OnLater(const v1::HoldRegistrationRequest& request);
  void OnFirstOverdue();
  // What has to be told next, or null.
  consul::SharedMessage Next();
  void LetGo(Hold* hold, const absl::Status& end);

  // Constant after construction.
  StreamWriter* const transport_;
  Scheduler* const scheduler_;
  HoldKeeper* const keeper_;
  // A hold is no watch, and not counted as one.
  consul::WatchReporter unreported_;
  const std::shared_ptr<Outbox> outbox_;

  mutable Mutex mu_;
  std::string id_ ABSL_GUARDED_BY(mu_);
  // Of the first message; stays once it is set.
  std::shared_ptr<Hold> hold_ ABSL_GUARDED_BY(mu_);
  bool first_came_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  std::optional<bool> told_ ABSL_GUARDED_BY(mu_);
  // The state is to be sent, or being sent, once more: see above.
  bool probe_due_ ABSL_GUARDED_BY(mu_) = false;
  bool probing_ ABSL_GUARDED_BY(mu_) = false;
  // The caller has closed its side.
  bool reads_done_ ABSL_GUARDED_BY(mu_) = false;
  Scheduler::TimerId first_timer_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HOLD_STREAM_H_
