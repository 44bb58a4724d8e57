#include "server/wire/send_queue.h"

#include <algorithm>

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

size_t SendQueue::Produce(std::string* out, size_t enough, size_t most) {
  size_t frames = 0;
  while (!sendable_.empty() && window_ > 0 && frames < most && out->size() < enough) {
    QueuedStream& queued = sendable_.front();
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
