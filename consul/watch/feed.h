#ifndef MESHGATE_CONSUL_WATCH_FEED_H_
#define MESHGATE_CONSUL_WATCH_FEED_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "consul/watch/digest.h"
#include "consul/watch/encode.h"
#include "consul/watch/hub.h"
#include "consul/watch/resume_token.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// What the readers of one target with one view have in common: the state they see, the recent changes that led to it,
// and the messages that bring a reader from its mark to now, each encoded once. Holds which things changed rather than
// their values: a merged difference is told from the current state, so lagging readers cost no memory.
//
// No I/O, no clock, no threads: its topic's lock guards it.
class Feed {
 public:
  // A reader's place.
  struct Mark {
    uint64_t sequence = 0;  // 0: it has got nothing yet
    uint64_t epoch = 0;
    bool told_stale = false;
    // The state it holds from an earlier stream, until it is known whether that can be led to the current one.
    std::optional<ResumeToken> resume;
    // It is not to be led back to an older state than that one: see IsBehind().
    bool waits = false;
  };

  Feed(TargetKind kind, View view, size_t ring_events, size_t ring_bytes)
      : kind_(kind), view_(std::move(view)), ring_events_(ring_events), ring_bytes_(ring_bytes) {}

  const View& view() const { return view_; }
  // Of the state that its readers see, once there is one.
  const Digest& digest() const { return digest_; }

  // Takes a new state of the target. `target_changes`, where the caller knows them, lead to it from the one that was
  // published before. `continuity_lost`: the store went back to an earlier time, so readers get a snapshot. Returns
  // whether there is something to tell.
  bool Publish(const SharedState& target_state, const std::vector<Change>* target_changes, uint64_t index,
               absl::Time received, bool continuity_lost);

  // `since` is when Consul was last heard; absent: it is back. Returns whether there is something to tell.
  bool SetStale(std::optional<absl::Time> since);

  // What a reader at `mark` has to be told, with the mark moved behind it. Null: nothing. Adds to `merged` the events
  // that the reader did not get because later ones cover them.
  SharedMessage Next(Mark& mark, absl::Time now, int64_t& merged);

  // Whether the state that a returning reader holds is, by its index, newer than the one here and another, so that it
  // would be led back; it may be known from before (a key came and went again). Not while Consul is away: then there is
  // nothing to wait for.
  bool IsBehind(const Mark& mark) const;

  // Null where the reader has got nothing yet.
  SharedMessage Progress(const Mark& mark, absl::Time now);

 private:
  struct Step {
    uint64_t sequence;  // of the state that these changes led to
    Digest before;      // of the state that they led from
    std::vector<Change> changes;
    size_t bytes;
  };

  // What turns the state at `sequence` into the current one; absent where the ring does not reach back so far.
  // `seen` counts the events of the steps between.
  std::optional<std::vector<Change>> ChangesSince(uint64_t sequence, int64_t& seen) const;
  // Of the latest state with this digest that can be led to the current one; 0 where there is none.
  uint64_t SequenceOf(const Digest& digest) const;
  MessageHead Head(absl::Time now) const;
  // Looks `key` up among the messages encoded for the current state, and encodes where it is missing or too old.
  template <typename Encode>
  SharedMessage Cached(uint64_t key, absl::Time received, absl::Time now, Encode encode);
  void Remember(const Digest& before, std::vector<Change> changes);
  void ForgetMessages();

  const TargetKind kind_;
  const View view_;
  const size_t ring_events_;
  const size_t ring_bytes_;

  SharedState target_state_;  // as it was published last
  SharedState state_;         // what the view leaves of it; null: none yet
  Digest digest_;
  uint64_t sequence_ = 0;
  uint64_t epoch_ = 1;
  uint64_t index_ = 0;
  absl::Time received_;
  std::optional<absl::Time> stale_since_;

  std::deque<Step> ring_;
  size_t ring_events_held_ = 0;
  size_t ring_bytes_held_ = 0;

  // By the sequence they lead from: 0 is a snapshot, the current one is "no change". For the current state only.
  std::map<uint64_t, SharedMessage> messages_;
  absl::Time messages_encoded_at_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_FEED_H_
