#include "server/wire/send_queue.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "consul/base/prefetch.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {

bool SendQueue::Add(Stream* stream) {
  QueuedStream& queued = *stream;
  if (queued.is_linked()) return false;
  sendable_.push_back(queued);
  return true;
}

bool SendQueue::OnConnectionWindow(uint32_t increment) {
  window_ += increment;
  return window_ <= kMaxWindow;
}

bool SendQueue::OnStreamWindow(Stream* stream, uint32_t increment) {
  QueuedStream& queued = *stream;
  const bool had_room = initial_window_ + queued.credit_ > 0;
  queued.credit_ += increment;
  if (initial_window_ + queued.credit_ > kMaxWindow) return false;
  most_credit_ = std::max(most_credit_, queued.credit_);
  if (!had_room && queued.is_linked()) {
    queued.unlink();
    sendable_.push_back(queued);
  }
  return true;
}

bool SendQueue::OnInitialWindow(uint32_t size, const absl::flat_hash_set<Stream*>& streams) {
  if (size > initial_window_) sendable_.splice(sendable_.end(), blocked_);
  initial_window_ = size;
  if (initial_window_ + most_credit_ <= kMaxWindow) return true;
  most_credit_ = 0;
  for (const QueuedStream* queued : streams) most_credit_ = std::max(most_credit_, queued->credit_);
  return initial_window_ + most_credit_ <= kMaxWindow;
}

// Has the streams whose turn comes next fetched from memory, and then, in steps, what their frames will touch. Those
// that are added meanwhile may be left out. It rests on this: while frames are produced no stream is destroyed, or
// moved but for the one whose turn it is. nghttp2 closes streams as it is given bytes or asked for some, windows open
// as bytes come, and a frame does neither: what it ends is only submitted.
class SendQueue::Ahead {
 public:
  explicit Ahead(List* list) : next_(list->begin()), end_(list->end()) {
    // One alone is there as soon as what could be fetched for it.
    if (next_ == end_ || std::next(next_) == end_) {
      next_ = end_;
      return;
    }
    // As if so many turns had come before.
    for (size_t i = 0; i < kStreams; ++i) Step();
  }

  // Before the turn of each.
  void Step() {
    Stream* stream = nullptr;
    if (next_ != end_) {
      stream = static_cast<Stream*>(&*next_);
      // To learn which one is behind it is to wait for it: it is fetched when the one before it comes.
      if (++next_ != end_) Prefetch(static_cast<Stream*>(&*next_), sizeof *stream);
    }
    streams_[newest_ = (newest_ + 1) % kStreams] = stream;
    for (int step = 0; step < Stream::kPrepareSteps; ++step) {
      const size_t age = kBetween * (static_cast<size_t>(step) + 1);
      Stream* const later = streams_[(newest_ + kStreams - age) % kStreams];
      if (later != nullptr) later->PrepareFrame(step);
    }
  }

 private:
  static constexpr size_t kStreams = 8;
  // Turns between one step and the next: as long as memory takes.
  static constexpr size_t kBetween = 2;
  static_assert(kBetween * Stream::kPrepareSteps < kStreams);

  List::iterator next_;
  const List::iterator end_;
  std::array<Stream*, kStreams> streams_ = {};
  size_t newest_ = 0;
};

size_t SendQueue::Produce(std::string* out, size_t enough, size_t most) {
  if (sendable_.empty() || window_ <= 0) return 0;
  size_t frames = 0;
  Ahead ahead(&sendable_);
  while (!sendable_.empty() && window_ > 0 && frames < most && out->size() < enough) {
    QueuedStream& queued = sendable_.front();
    ahead.Step();
    sendable_.pop_front();
    const int64_t room = std::min({initial_window_ + queued.credit_, window_, static_cast<int64_t>(kFrameBytes)});
    if (room <= 0) {
      blocked_.push_back(queued);
      continue;
    }
    auto& stream = static_cast<Stream&>(queued);
    const size_t sent = stream.AppendFrame(static_cast<size_t>(room), out);
    if (sent == 0) continue;
    ++frames;
    queued.credit_ -= static_cast<int64_t>(sent);
    window_ -= static_cast<int64_t>(sent);
    // Another may have been quicker.
    if (stream.MayHaveMore() && !queued.is_linked()) sendable_.push_back(queued);
  }
  return frames;
}

}  // namespace meshgate::server::wire
