#include "consul/watch/feed.h"

#include <utility>

#include "consul/watch/resume_token.h"

namespace meshgate::consul {
namespace {

constexpr uint64_t kSnapshot = 0;

// Readers that lag by different distances need different messages; those past this many encode for themselves.
constexpr size_t kMaxMessages = 64;

}  // namespace

bool Feed::Publish(const SharedState& target_state, const std::vector<Change>* target_changes, uint64_t index,
                   absl::Time received, bool continuity_lost) {
  SharedState state = Filter(kind_, target_state, view_);
  const Digest before = digest_;
  std::vector<Change> changes;
  bool remember = false;
  if (state_ == nullptr) {
    target_state_ = target_state;
    digest_ = DigestOf(kind_, *state);
  } else {
    // Where the view leaves nothing out, what has changed is what has changed in the target.
    const bool whole = target_changes != nullptr && state_ == target_state_ && state == target_state;
    changes = whole ? *target_changes : Diff(kind_, *state_, *state);
    target_state_ = target_state;
    if (changes.empty()) return false;
    digest_ = UpdateDigest(kind_, before, *state_, *state, changes);
    // An index that goes back is told by a snapshot only.
    remember = !continuity_lost && index >= index_;
    if (!remember) {
      ++epoch_;
      ring_.clear();
      ring_events_held_ = ring_bytes_held_ = 0;
    }
  }
  state_ = std::move(state);
  ++sequence_;
  index_ = index;
  received_ = received;
  if (remember) Remember(before, std::move(changes));
  ForgetMessages();
  return true;
}

bool Feed::SetStale(std::optional<absl::Time> since) {
  const bool told = since.has_value() != stale_since_.has_value();
  if (told) {
    stale_since_ = since;
    ForgetMessages();
  }
  return told;
}

SharedMessage Feed::Next(Mark& mark, absl::Time now, int64_t& merged) {
  const bool stale = stale_since_.has_value();
  if (state_ == nullptr) {
    if (!stale || mark.told_stale) return nullptr;
    mark.told_stale = true;
    return Cached(sequence_, absl::InfinitePast(), now, [&] { return EncodeNoChange(kind_, Head(now)); });
  }

  if (mark.waits && IsBehind(mark)) return nullptr;
  Mark before = mark;
  mark = {sequence_, epoch_, stale, std::nullopt};
  // A reader that comes back has to hear that it was recognised, even where nothing has changed.
  bool announce = false;
  if (before.resume.has_value()) {
    // An equal state of the past is not the one that a reader ahead of us holds.
    const bool ahead = before.resume->index > index_ && before.resume->digest != digest_;
    // Nor is nothing, which may be what a loss of data has left: from there a difference is all there is anyway.
    const bool from_nothing = before.resume->digest == Digest() && digest_ != Digest();
    before.sequence = ahead || from_nothing ? 0 : SequenceOf(before.resume->digest);
    before.epoch = epoch_;
    announce = true;
  }
  if (before.sequence != 0 && before.epoch == epoch_) {
    int64_t seen = 0;
    auto changes = ChangesSince(before.sequence, seen);
    if (changes.has_value()) {
      merged += seen - static_cast<int64_t>(changes->size());
      if (!changes->empty()) {
        // For a single key the difference is the same from wherever a reader comes.
        const uint64_t from = kind_ == TargetKind::kKey ? sequence_ - 1 : before.sequence;
        return Cached(from, received_, now, [&] { return EncodeChanges(kind_, Head(now), *changes, *state_); });
      }
      if (before.told_stale == stale && !announce) return nullptr;
      return Cached(sequence_, absl::InfinitePast(), now, [&] { return EncodeNoChange(kind_, Head(now)); });
    }
  }
  return Cached(kSnapshot, absl::InfinitePast(), now, [&] { return EncodeSnapshot(kind_, Head(now), *state_); });
}

bool Feed::IsBehind(const Mark& mark) const {
  return state_ != nullptr && !stale_since_.has_value() && mark.resume.has_value() && mark.resume->index > index_ &&
         mark.resume->digest != digest_;
}

SharedMessage Feed::Progress(const Mark& mark, absl::Time now) {
  if (mark.sequence != sequence_ || mark.epoch != epoch_ || mark.told_stale != stale_since_.has_value() ||
      state_ == nullptr) {
    return nullptr;
  }
  return Cached(sequence_, absl::InfinitePast(), now, [&] { return EncodeNoChange(kind_, Head(now)); });
}

std::optional<std::vector<Change>> Feed::ChangesSince(uint64_t sequence, int64_t& seen) const {
  if (sequence == sequence_) return std::vector<Change>{};
  if (ring_.empty() || ring_.front().sequence > sequence + 1) return std::nullopt;
  const auto first = ring_.begin() + static_cast<std::ptrdiff_t>(sequence + 1 - ring_.front().sequence);
  if (first + 1 == ring_.end()) {
    seen += static_cast<int64_t>(first->changes.size());
    return first->changes;
  }
  std::map<std::string, Change> merged;
  for (auto step = first; step != ring_.end(); ++step) {
    seen += static_cast<int64_t>(step->changes.size());
    for (const Change& change : step->changes) {
      auto [it, inserted] = merged.emplace(change.identity, change);
      if (!inserted) it->second.exists_now = change.exists_now;
    }
  }
  std::vector<Change> changes;
  changes.reserve(merged.size());
  for (auto& [identity, change] : merged) {
    // Came and went between: the reader never knew it.
    if (change.existed_before || change.exists_now) changes.push_back(std::move(change));
  }
  return changes;
}

uint64_t Feed::SequenceOf(const Digest& digest) const {
  if (digest == digest_) return sequence_;
  for (auto step = ring_.rbegin(); step != ring_.rend(); ++step) {
    if (step->before == digest) return step->sequence - 1;
  }
  return 0;
}

MessageHead Feed::Head(absl::Time now) const {
  MessageHead head;
  head.index = index_;
  if (state_ != nullptr) head.resume_token = ResumeToken{index_, digest_}.ToString();
  if (stale_since_.has_value()) head.stale_for = now - *stale_since_;
  return head;
}

template <typename Encode>
SharedMessage Feed::Cached(uint64_t key, absl::Time received, absl::Time now, Encode encode) {
  // `stale_for` grows: a message that carries it is good for a second.
  if (stale_since_.has_value() && !messages_.empty() && now - messages_encoded_at_ > absl::Seconds(1)) ForgetMessages();
  auto it = messages_.find(key);
  if (it != messages_.end()) return it->second;
  if (messages_.empty()) messages_encoded_at_ = now;
  auto message = std::make_shared<const Message>(Message{encode(), received});
  if (messages_.size() < kMaxMessages) messages_.emplace(key, message);
  return message;
}

void Feed::Remember(const Digest& before, std::vector<Change> changes) {
  Step step{sequence_, before, std::move(changes), sizeof(Step)};
  for (const Change& change : step.changes) step.bytes += sizeof(Change) + change.identity.size();
  ring_events_held_ += step.changes.size();
  ring_bytes_held_ += step.bytes;
  ring_.push_back(std::move(step));
  while (!ring_.empty() && (ring_events_held_ > ring_events_ || ring_bytes_held_ > ring_bytes_)) {
    ring_events_held_ -= ring_.front().changes.size();
    ring_bytes_held_ -= ring_.front().bytes;
    ring_.pop_front();
  }
}

void Feed::ForgetMessages() { messages_.clear(); }

}  // namespace meshgate::consul
