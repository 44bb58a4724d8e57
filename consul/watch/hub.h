// The watch hub: one upstream query per target, however many read it.
#ifndef MESHGATE_CONSUL_WATCH_HUB_H_
#define MESHGATE_CONSUL_WATCH_HUB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/types.h"
#include "consul/watch/reader_thread.h"
#include "consul/watch/resume_token.h"
#include "consul/watch/state.h"
#include "consul/watch/state_store.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// One message of a stream, encoded once for all who get it: a serialized meshgate.v1.WatchConfigResponse (keys and
// prefixes) or WatchServiceResponse (services). Immutable.
struct Message {
  std::string bytes;
  // When the answer that caused it had arrived; absl::InfinitePast() for snapshots to new readers and for progress.
  absl::Time received = absl::InfinitePast();
};
using SharedMessage = std::shared_ptr<const Message>;

// What a thread last told a reader, so that the next one at the same place is told the same without a look at what all
// threads share. One per thread that calls Next(), handed to each.
class NextMemo {
 private:
  friend class Topic;
  const void* audience_ = nullptr;
  uint64_t version_ = 0;
  uint64_t sequence_ = 0;
  uint64_t epoch_ = 0;
  uint64_t sequence_after_ = 0;
  uint64_t epoch_after_ = 0;
  int64_t merged_ = 0;
  SharedMessage message_;
};

// One reader's place in one target, for its subscriber's thread alone. Destroying it ends the subscription, after which
// there is no Wake().
class Subscription {
 public:
  virtual ~Subscription() = default;

  // Takes what the reader has to be told next and moves its mark behind it: first the state (or that Consul can't be
  // reached and nothing is known yet), then merged differences, or a snapshot where a difference can't be told. Null:
  // nothing now, Wake() comes when there is. An error ends the stream: this target can't be watched (for example
  // INVALID_ARGUMENT, a filter that does not parse). `memo` may be null.
  virtual absl::StatusOr<SharedMessage> Next(NextMemo* memo) = 0;
  absl::StatusOr<SharedMessage> Next() { return Next(nullptr); }
  // So much of a subscription is worth a Prefetch() before.
  static constexpr size_t kPreparedBytes = 192;

  // A message without events that says the reader is up to date as of its mark. Null before the first message.
  virtual SharedMessage Progress() = 0;

  virtual TargetKind kind() const = 0;
};

// A cached answer.
struct CachedState {
  SharedState state;
  uint64_t index = 0;
  // Since it was last confirmed by Consul.
  absl::Duration age;
  // Consul could not be reached when it was last asked.
  bool stale = false;
  // Read from Consul for this call, because what was cached was too old for it.
  bool from_consul = false;
};

struct CachedReadOptions {
  // An older state is not good enough: Consul is asked, with a quorum.
  uint64_t min_index = 0;
  // Refuses with UNAVAILABLE (TOO_STALE) what is older while Consul can't be reached; a live watch is never too old.
  std::optional<absl::Duration> max_age;
  // How long to wait for a state that is not there yet; then DEADLINE_EXCEEDED.
  absl::Duration timeout = absl::Seconds(10);
};

struct AwaitOptions {
  // The CachedState::index that the caller was given last, or what Consul itself has given it as X-Consul-Index.
  uint64_t index = 0;
  // At most. A target of which nothing is known then fails with DEADLINE_EXCEEDED.
  absl::Duration wait;
};

// A question that waits for its answer.
class Awaiting {
 public:
  virtual ~Awaiting() = default;
};

struct HubOptions {
  // Of a blocking query.
  absl::Duration wait = absl::Minutes(5);
  // How long a target without readers stays watched.
  absl::Duration linger = absl::Seconds(30);
  // Targets that nobody has subscribed to, kept watched at one time for cached reads: beyond it the least recently used
  // one goes first. Not one whose state can't be had again, because Consul is away.
  size_t max_read_targets = 64;
  // The same of those whose subscribers have gone and may come back.
  size_t max_lingering_targets = 16'384;
  // Recent changes kept per target, for readers that lag: beyond either bound they get a snapshot.
  size_t ring_events = 1024;
  size_t ring_bytes = 1 << 20;
  // Where states outlive the process; null: nowhere. Outlives the hub.
  StateStore* store = nullptr;
  // A target that is read for the first time and has a stored state: how long Consul may take before readers get that,
  // marked stale. They get it at once where Consul can't be reached; where it answers in time they never see it.
  absl::Duration patience = absl::Seconds(1);
};

// Thread-safe. Promises, per subscription: order, no duplicates, the changes of one upstream answer in one message, and
// the latest state in the end; a change is never invented. What it keeps true:
//   - A target has one upstream query, its own or shared with others (consul/upstream), from its first reader until
//     `linger` after its last one.
//   - Readers are told of differences between states, never of returns of a query.
//   - No lock is held while a subscriber, the backend or a callback is called.
//   - A reader costs a mark, never a queue: one that is slow gets the merged difference from the ring, or a snapshot.
//   - Only an answer deletes. While Consul is away the last state stands, marked stale; where there is a store, over
//     the end of the process too: the next one goes on from it, with its true age.
class Hub {
 public:
  // `backend`, `scheduler` and `reporter` outlive the hub.
  Hub(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, HubOptions options);

  // Same as Shutdown().
  ~Hub();

  // Stops every upstream watch. Subscriptions stay valid and get nothing more; cached reads in progress fail with
  // UNAVAILABLE. The backend's Shutdown() must come before the hub is destroyed, and not before this.
  void Shutdown();

  // Never null. On the subscriber's thread; null: one that is never woken. The first message may be there already;
  // otherwise the subscriber is woken when it is. `resume` says what state the reader holds from an earlier stream, of
  // this gateway or another: where it leads to the current state the first message carries just the difference,
  // possibly none; otherwise a snapshot. A reader that holds a newer state than the hub has yet, from a gateway that
  // Consul answered earlier, is not led back: the message waits until that state is here, or it is known that Consul
  // has lost it or can't be reached, for 30 s at most.
  std::unique_ptr<Subscription> Subscribe(const Target& target, const View& view, std::optional<ResumeToken> resume,
                                          Subscriber* subscriber);

  // Answers from the state of a target, and starts to watch it if nobody does. `done` runs once, on the Scheduler or
  // inside the call. However many callers wait for one target, Consul is asked once.
  void Read(const Target& target, const CachedReadOptions& options,
            absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done);

  // As Read(), for a state that is later than `options.index`, or else what there is when the wait is over. Consul's
  // own blocking queries, answered from here: the index of a key that is there is the one that Consul gives, too.
  // Dropping the result before `done` has run takes the question back.
  [[nodiscard]] std::unique_ptr<Awaiting> Await(const Target& target, const AwaitOptions& options,
                                                absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done);

  // Whether any target has a state, be it stale or stored: something can be served while Consul is away.
  bool HasState() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_HUB_H_
