#include "server/wire/forwarded_call.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "grpc/grpc.h"
#include "grpcpp/support/slice.h"

namespace meshgate::server::wire {
namespace {

// Between the inside and the outside, either way: beyond it the faster end waits.
constexpr size_t kBacklogBytes = 256 << 10;

// A message is in our hands, in gRPC's, and in those of whoever is behind it.
constexpr size_t kCopies = 3;

// Headers without content may belong to an end that follows at once, with which they then go.
constexpr std::chrono::milliseconds kEmptyHeadersWait{5};

// Where a caller speaks to the front, not to who is behind it.
bool StaysOutside(const std::string& name) {
  if (name == "te" || name == "host" || name == "content-length") return true;
  return absl::StartsWith(name, "grpc-") && name != "grpc-trace-bin" && name != "grpc-tags-bin";
}

Metadata Outward(const std::multimap<grpc::string_ref, grpc::string_ref>& inside) {
  Metadata outside;
  for (const auto& [name, value] : inside) {
    std::string key(name.data(), name.size());
    // Between the inside and the front.
    if (key == "grpc-accept-encoding" || key == "grpc-encoding" || key == "content-type") continue;
    std::string bytes(value.data(), value.size());
    if (IsBinary(key)) bytes = Base64Encode(bytes);
    outside.emplace_back(std::move(key), std::move(bytes));
  }
  return outside;
}

grpc_slice Static(const std::string& s) { return grpc_slice_from_static_buffer(s.data(), s.size()); }

}  // namespace

ForwardedCall::ForwardedCall(Stream* stream, std::function<void()> on_over)
    : loop_(&stream->loop()), on_over_(std::move(on_over)), stream_(stream), empty_headers_(loop_->io()) {}

void ForwardedCall::Start(grpc::GenericStub* stub) {
  if (!CopyMetadata()) {
    stream_->Finish(
        {static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT), "a request header is not legal in gRPC", {}});
    stream_ = nullptr;
    MutexLock lock(mu_);
    let_go_ = true;
    return on_over_();
  }
  if (stream_->deadline() != absl::InfiniteFuture()) {
    // A little later than the stream's own, which is to be the one that is told.
    const absl::Duration left = stream_->deadline() - loop_->now() + absl::Milliseconds(100);
    context_.set_deadline(absl::ToChronoTime(absl::Now() + left));
  }
  if (!stream_->head().authority.empty()) context_.set_authority(stream_->head().authority);
  self_ = shared_from_this();
  stub->PrepareBidiStreamingCall(&context_, stream_->head().path, {}, this);
  AddHold();
  StartRead(&reading_);
  StartCall();
}

bool ForwardedCall::CopyMetadata() {
  for (const auto& [name, value] : stream_->head().metadata) {
    if (StaysOutside(name)) continue;
    if (grpc_header_key_is_legal(Static(name)) == 0) return false;
    if (!IsBinary(name)) {
      if (grpc_header_nonbin_value_is_legal(Static(value)) == 0) return false;
      context_.AddMetadata(name, value);
      continue;
    }
    // Several may have been joined.
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      const auto bytes = Base64Decode(std::string_view(value).substr(begin, end - begin));
      if (!bytes.has_value()) return false;
      context_.AddMetadata(name, *bytes);
      begin = end + 1;
    }
  }
  return true;
}

// ---- The loop's thread.

void ForwardedCall::OnMessage(std::string message) {
  if (!stream_->Hold(kCopies * message.size())) return RefuseToHold();
  to_write_bytes_ += message.size();
  to_write_.push_back(std::move(message));
  if (to_write_bytes_ >= kBacklogBytes) stream_->PauseRequest();
  PumpWrites();
}

void ForwardedCall::RefuseToHold() {
  context_.TryCancel();
  // At once: others may go on with the room.
  for (const SharedBytes& message : to_send_) stream_->Release(kCopies * message->size());
  to_send_.clear();
  stream_->Cut({static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED),
                "too many messages of this connection are not taken: send fewer at a time, and read the answers",
                {}});
}

void ForwardedCall::OnHalfClose() {
  half_closed_ = true;
  PumpWrites();
}

void ForwardedCall::PumpWrites() {
  if (write_under_way_ || writes_done_) return;
  MutexLock lock(mu_);
  if (let_go_) return;
  if (!to_write_.empty()) {
    const grpc::Slice slice(to_write_.front());
    writing_ = grpc::ByteBuffer(&slice, 1);
    write_under_way_ = true;
    StartWrite(&writing_);
  } else if (half_closed_) {
    writes_done_ = true;
    StartWritesDone();
  }
}

SharedBytes ForwardedCall::NextMessage() {
  if (to_send_.empty()) {
    if (ending_ != nullptr && stream_ != nullptr) stream_->Finish(*std::exchange(ending_, nullptr));
    return nullptr;
  }
  SharedBytes message = std::move(to_send_.front());
  to_send_.pop_front();
  stream_->Release(kCopies * message->size());
  MutexLock lock(mu_);
  unsent_bytes_ -= message->size();
  if (read_paused_ && !let_go_ && unsent_bytes_ < kBacklogBytes / 2) {
    read_paused_ = false;
    StartRead(&reading_);
  }
  return message;
}

Ending ForwardedCall::OnStalled(absl::Duration) {
  return {static_cast<int>(grpc::StatusCode::UNAVAILABLE), "the reader has not taken a message for too long", {}};
}

void ForwardedCall::OnClosed(Why) {
  stream_ = nullptr;
  empty_headers_.cancel();
  to_write_.clear();
  to_send_.clear();
  context_.TryCancel();
  LetGo();
}

void ForwardedCall::LetGo() {
  MutexLock lock(mu_);
  if (std::exchange(let_go_, true)) return;
  RemoveHold();
}

void ForwardedCall::Post(absl::AnyInvocable<void()> task) {
  loop_->Post([self = shared_from_this(), task = std::move(task)]() mutable { task(); });
}

// ---- gRPC's threads.

void ForwardedCall::OnReadInitialMetadataDone(bool ok) {
  Post([this, metadata = ok ? Outward(context_.GetServerInitialMetadata()) : Metadata()]() mutable {
    headers_came_ = true;
    if (stream_ == nullptr) return;
    if (!metadata.empty()) {
      stream_->SendHeaders(std::move(metadata));
    } else {
      // Whether they were sent, or are just what comes with an end without any, is not to be seen from here.
      empty_headers_.expires_after(kEmptyHeadersWait);
      empty_headers_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error && self->stream_ != nullptr) self->stream_->SendHeaders({});
      });
    }
    if (!to_send_.empty()) stream_->Ready();
  });
}

void ForwardedCall::OnReadDone(bool ok) {
  if (!ok) return LetGo();
  auto message = std::make_shared<std::string>();
  std::vector<grpc::Slice> slices;
  if (!reading_.Dump(&slices).ok()) {
    context_.TryCancel();
    return LetGo();
  }
  for (const grpc::Slice& slice : slices) {
    message->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  reading_.Clear();
  {
    MutexLock lock(mu_);
    unsent_bytes_ += message->size();
  }
  // Before the next read is started, here or by who sees the pause: another thread may see its end.
  Post([this, message = std::move(message)]() mutable {
    if (stream_ == nullptr) return;
    if (!stream_->Hold(kCopies * message->size())) return RefuseToHold();
    to_send_.push_back(std::move(message));
    if (headers_came_) stream_->Ready();
  });
  MutexLock lock(mu_);
  read_paused_ = unsent_bytes_ >= kBacklogBytes;
  if (read_paused_) return;
  if (!let_go_) StartRead(&reading_);
}

void ForwardedCall::OnWriteDone(bool ok) {
  Post([this, ok] {
    write_under_way_ = false;
    if (to_write_.empty()) return;
    to_write_bytes_ -= to_write_.front().size();
    if (stream_ != nullptr) stream_->Release(kCopies * to_write_.front().size());
    to_write_.pop_front();
    writing_.Clear();
    if (stream_ != nullptr && to_write_bytes_ < kBacklogBytes) stream_->ResumeRequest();
    if (ok) PumpWrites();
  });
}

void ForwardedCall::OnDone(const grpc::Status& status) {
  auto ending = std::make_unique<Ending>(
      Ending{status.error_code(), status.error_message(), Outward(context_.GetServerTrailingMetadata())});
  Post([this, ending = std::move(ending)]() mutable {
    on_over_();
    // Posted before the last reference goes.
    const std::shared_ptr<ForwardedCall> self = std::move(self_);
    if (stream_ == nullptr) return;
    ending_ = std::move(ending);
    if (to_send_.empty() && !stream_->sending()) {
      NextMessage();
    } else {
      stream_->Ready();
    }
  });
}

}  // namespace meshgate::server::wire
