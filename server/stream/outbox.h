// The state machine of one server stream, free of any transport.
#ifndef MESHGATE_SERVER_STREAM_OUTBOX_H_
#define MESHGATE_SERVER_STREAM_OUTBOX_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"

namespace meshgate::server {

// The half of a transport that an outbox writes to. Its calls come from any thread, without a lock held, never two at a
// time.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  // Starts one write; the transport answers with Outbox::OnWriteDone(), possibly inside this call. The message stays
  // alive until then: the writer keeps a reference.
  virtual void StartWrite(consul::SharedMessage message) = 0;
  // Ends the stream. Exactly once per outbox, never while a write is in flight, also after a cancellation.
  virtual void Finish(const absl::Status& status) = 0;
};

// Decides what is written to one stream and when: at most one message is in flight, the next one is taken from the
// subscription when it is done, so a slow reader holds one message and a mark. Made by a transport for each stream call
// and handed to a handler, which calls Start() or End().
//
// States: idle -> writing -> idle ... -> finishing -> done. `writer` is called until Finish(), and is kept alive by the
// transport until that has returned.
class Outbox final : public consul::Subscriber, public std::enable_shared_from_this<Outbox> {
 public:
  Outbox(StreamWriter* writer, Scheduler* scheduler, consul::WatchReporter* reporter);
  ~Outbox() override;

  // Begins to send. `progress_interval`: after so long without a message one without events is sent; zero means never.
  // Called at most once; after End() or OnCancelled() it does nothing. Subscribe with this outbox as the subscriber
  // first: wakes that come before Start() are not lost.
  void Start(std::unique_ptr<consul::Subscription> subscription, absl::Duration progress_interval);

  // Ends the stream with `status` after the write in flight. The first end wins.
  void End(absl::Status status);

  // From the transport: the write has ended; `ok` is false when the stream is broken.
  void OnWriteDone(bool ok);

  // From the transport: the caller has gone or cancelled. Finish() follows.
  void OnCancelled();

  // From the hub.
  void Wake() override;

 private:
  enum class Phase { kWaiting, kIdle, kWriting, kFinished };

  // Takes from the subscription and writes until there is nothing to do. One thread at a time is inside; others leave
  // word in the flags.
  void Pump();
  void ArmProgressLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnProgressTimer();

  // Constant after construction.
  StreamWriter* const writer_;
  Scheduler* const scheduler_;
  consul::WatchReporter* const reporter_;

  Mutex mu_;
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kWaiting;
  bool pumping_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool progress_due_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  // Used by the thread that pumps, without the lock.
  std::unique_ptr<consul::Subscription> subscription_;
  absl::Duration progress_interval_ ABSL_GUARDED_BY(mu_);
  absl::Time last_write_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId progress_timer_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STREAM_OUTBOX_H_
