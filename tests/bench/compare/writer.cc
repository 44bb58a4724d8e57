#include "tests/bench/compare/writer.h"

#include "tests/bench/load/stamp.h"

namespace meshgate::bench {

Writer::Writer(Loop* loop, const Peer* peer, int value_bytes)
    : loop_(loop),
      peer_(peer),
      value_bytes_(static_cast<size_t>(value_bytes)),
      channel_(peer->Connect(loop, Method::kWrite, this)) {
  if (channel_ == nullptr) failure_ = "the connection is refused";
}

void Writer::Begin(uint64_t change) {
  if (channel_ == nullptr) return;
  writing_ = true;
  channel_->Call(0, peer_->Request(Method::kWrite, StampedValue(change, value_bytes_)));
}

absl::Status Writer::Wait(absl::Duration patience) {
  const bool done = loop_->RunUntil([&] { return !writing_ || !failure_.empty(); }, patience);
  if (!failure_.empty()) return absl::InternalError("writing: " + failure_);
  return done ? absl::OkStatus() : absl::InternalError("a write has no answer");
}

absl::Status Writer::Write(uint64_t change, absl::Duration patience) {
  Begin(change);
  return Wait(patience);
}

void Writer::OnEnd(int call, bool answered) {
  writing_ = false;
  if (!answered) failure_ = "refused";
}

void Writer::OnFailure(const std::string& what) { failure_ = what; }

}  // namespace meshgate::bench
