// What one server stream has to say next, free of any transport.
#ifndef MESHGATE_SERVER_STREAM_OUTBOX_H_
#define MESHGATE_SERVER_STREAM_OUTBOX_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/prefetch.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"

namespace meshgate::server {

// Stands between a subscription and the transport of its stream. The transport takes a message when its peer has room
// for one: until then a reader is a mark, not bytes, and what it gets is the latest. Made by a transport for each
// stream call and handed to a handler, which calls Start() or End().
//
// A stream belongs to one thread of its transport. Others only leave word.
class Outbox final : public consul::Subscriber, public consul::Work, public std::enable_shared_from_this<Outbox> {
 public:
  // The stream, as its outbox sees it. Called on the transport's thread, until Close().
  class Listener {
   public:
    virtual ~Listener() = default;
    // Take() may have something.
    virtual void OnReady() = 0;
    // OnReady() comes soon, and so much of the listener, from its start, is in the processor's cache: the place to
    // Prefetch() what else it will touch.
    static constexpr size_t kPreparedBytes = 32;
    virtual void PrepareReady() const {}
  };

  // All outlive the outbox, but for the listener, which Close() lets go of.
  Outbox(consul::ReaderThread* thread, Listener* listener, Scheduler* scheduler, consul::WatchReporter* reporter);
  ~Outbox() override;

  // ---- Any thread.
  // Ends the stream with `status`, before anything that is not taken yet. The first end counts.
  void End(absl::Status status);
  // Take() may have something.
  void WakeSoon();

  // ---- The transport's thread.
  // Begins to give. `progress_interval`: after so long without a message one without events is given; zero means never.
  // Called at most once; after End() it does nothing. Subscribe with this outbox as the subscriber first: wakes that
  // come before are not lost.
  void Start(std::unique_ptr<consul::Subscription> subscription, absl::Duration progress_interval);

  struct Taken {
    // Null: nothing now.
    consul::SharedMessage message;
    // Nothing follows, ever.
    std::optional<absl::Status> end;
  };
  Taken Take(consul::NextMemo* memo);
  // Take() comes soon: has what it will touch beside the outbox fetched.
  void PrepareToTake() const { Prefetch(subscription_.get(), consul::Subscription::kPreparedBytes); }
  // Take() may have something.
  bool MayHave() const { return woken_ || progress_due_ || ended_; }
  // Take() would give the end.
  bool ended() const { return ended_; }

  // Of what is taken.
  consul::TargetKind kind() const { return kind_; }

  // The stream is over: the subscription ends, and the listener is called no more.
  void Close();

  consul::ReaderThread* thread() override { return thread_; }

 private:
  // From the hub.
  void Wake() override;
  void PrepareToWake(int step) const override;
  // After WakeSoon(), End() and the time of a progress message.
  bool Run() override;

  void ArmProgress(absl::Duration delay);

  consul::ReaderThread* const thread_;
  Scheduler* const scheduler_;
  consul::WatchReporter* const reporter_;

  // Run() is on its way.
  std::atomic<bool> scheduled_{false};
  std::atomic<bool> progress_fired_{false};
  std::atomic<bool> ended_{false};
  Mutex mu_;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);

  // ---- The transport's thread alone.
  Listener* listener_;
  std::unique_ptr<consul::Subscription> subscription_;
  consul::TargetKind kind_ = consul::TargetKind::kKey;
  bool woken_ = false;
  bool progress_due_ = false;
  absl::Duration progress_interval_;
  absl::Time last_taken_;
  Scheduler::TimerId progress_timer_ = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STREAM_OUTBOX_H_
