#include "server/wire/stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/prefetch.h"
#include "server/wire/event_loop.h"
#include "server/wire/session.h"

namespace meshgate::server::wire {
namespace {

constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kResourceExhausted = 8;
constexpr int kUnimplemented = 12;
constexpr int kUnavailable = 14;

// Beyond the limit headers are only counted, up to so many times it.
constexpr size_t kFarBeyond = 16;

constexpr size_t kFrameHeaderBytes = 9;

// What HTTP/2 adds to each header when it counts them (RFC 9113, 6.5.2).
constexpr size_t kHeaderOverhead = 32;

nghttp2_nv Header(std::string_view name, std::string_view value, uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  // nghttp2 copies them; its struct lacks a const.
  return {const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data())),
          const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data())), name.size(), value.size(), flags};
}

// Names of ours are constants.
nghttp2_nv Fixed(std::string_view name, std::string_view value) {
  return Header(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

// Values that never come again would only push others out of the peer's table.
bool IsUnique(std::string_view name) { return name == "x-request-id" || name == "grpc-status-details-bin"; }

nghttp2_nv HeaderOf(const std::pair<std::string, std::string>& header) {
  return Header(header.first, header.second, IsUnique(header.first) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE);
}

std::vector<nghttp2_nv> ResponseHeaders(const Metadata& metadata) {
  std::vector<nghttp2_nv> headers = {Fixed(":status", "200"), Fixed("content-type", "application/grpc"),
                                     Fixed("grpc-accept-encoding", kAcceptedEncodings)};
  for (const auto& header : metadata) headers.push_back(HeaderOf(header));
  return headers;
}

}  // namespace

Stream::Stream(Session* session, int32_t id) : session_(session), id_(id), head_(std::make_unique<RequestHead>()) {}

Stream::~Stream() = default;

EventLoop& Stream::loop() const { return session_->loop(); }
const std::string& Stream::peer() const { return session_->peer(); }
const std::string& Stream::tls_identity() const { return session_->tls_identity(); }

// ---- The request.

bool Stream::OnHeader(std::string_view name, std::string_view value) {
  // Trailers of a request mean nothing in gRPC.
  if (head_ == nullptr) return true;
  head_->bytes += name.size() + value.size() + kHeaderOverhead;
  const size_t max = session_->options().max_header_bytes;
  if (head_->bytes > max) return head_->bytes <= kFarBeyond * max;
  if (name == ":path") {
    head_->path = value;
  } else if (name == ":method") {
    head_->method = value;
  } else if (name == ":authority") {
    head_->authority = value;
  } else if (name == "content-type") {
    head_->content_type = value;
  } else if (name == "grpc-timeout") {
    head_->timeout = value;
  } else if (name == "grpc-encoding") {
    head_->encoding = value;
  } else if (!name.empty() && name.front() != ':') {
    head_->metadata.emplace_back(name, value);
  }
  return true;
}

void Stream::OnRequestHeaders(bool last) {
  if (head_ == nullptr) {
    if (last) OnRequestEnd();
    return;
  }
  StartCall();
  head_.reset();
  if (last) OnRequestEnd();
}

void Stream::StartCall() {
  const RequestHead& head = *head_;
  const SessionOptions& options = session_->options();
  if (head.bytes > options.max_header_bytes) {
    return Finish({kResourceExhausted,
                   absl::StrCat("the request's headers are ", head.bytes, " bytes, at most ", options.max_header_bytes,
                                " are taken"),
                   {}});
  }
  if (head.method != "POST") return RefuseHttp(405, "gRPC calls are POST\n");
  if (!IsGrpcContentType(head.content_type)) return RefuseHttp(415, "this port speaks gRPC: application/grpc\n");
  if (!head.timeout.empty()) {
    const std::optional<absl::Duration> timeout = ParseTimeout(head.timeout);
    if (!timeout.has_value()) return Finish({kInvalidArgument, "malformed grpc-timeout", {}});
    deadline_ = loop().now() + *timeout;
  }
  const std::optional<Encoding> encoding = ParseEncoding(head.encoding);
  if (!encoding.has_value()) {
    return Finish({kUnimplemented,
                   absl::StrCat("grpc-encoding is not supported; ", kAcceptedEncodings, " are"),
                   {{"grpc-accept-encoding", kAcceptedEncodings}}});
  }
  reader_ = std::make_unique<MessageReader>(*encoding, options.max_request_bytes);
  std::shared_ptr<Call> call = session_->calls()(this);
  if (!ended_) call_ = std::move(call);
  if (finished()) return;
  SetDeadline();
}

void Stream::SetDeadline() {
  if (deadline_ == absl::InfiniteFuture()) return;
  loop().AddDeadline(this, deadline_);
  in_deadlines_ = true;
}

void Stream::OnData(std::string_view bytes) {
  unconsumed_ += bytes.size();
  if (!finished() && reader_ != nullptr) {
    // The call may end, and be told so, inside.
    const std::shared_ptr<Call> call = call_;
    const absl::Status status = reader_->Add(bytes, [&](std::string message) {
      if (call != nullptr && !finished()) call->OnMessage(std::move(message));
      return !finished();
    });
    if (!status.ok()) {
      Finish(EndingOf(status));
    } else if (!finished() && !HoldRequest(reader_->held_bytes())) {
      Finish({kResourceExhausted, "too many requests of this connection are not complete: send fewer at a time", {}});
    }
    if (finished()) {
      reader_.reset();
      HoldRequest(0);
    }
  }
  if (!paused_) ConsumeRequest();
}

bool Stream::HoldRequest(size_t bytes) {
  if (bytes > held_request_ && !session_->held().Take(bytes - held_request_)) return false;
  if (bytes < held_request_) session_->held().Return(held_request_ - bytes);
  held_request_ = bytes;
  return true;
}

bool Stream::HoldAnswer(size_t bytes) {
  if (!session_->held().Take(bytes)) return false;
  held_answer_ += bytes;
  return true;
}

bool Stream::Hold(size_t bytes) {
  if (!session_->held().Take(bytes)) return false;
  held_call_ += bytes;
  return true;
}

void Stream::Release(size_t bytes) {
  session_->held().Return(bytes);
  held_call_ -= bytes;
}

std::shared_ptr<MemoryBudget> Stream::HoldBeyond(size_t bytes) {
  return session_->held().Take(bytes) ? session_->shared_held() : nullptr;
}

bool Stream::BeginForwarded() {
  if (session_->forwarded() >= session_->options().max_forwarded) return false;
  ++session_->forwarded();
  return forwarded_ = true;
}

bool Stream::behind() const { return session_->held().used() > session_->options().max_held_bytes / 8; }

void Stream::OnRequestEnd() {
  if (request_ended_) return;
  request_ended_ = true;
  const bool whole = reader_ == nullptr || reader_->AtBoundary();
  reader_.reset();
  HoldRequest(0);
  if (finished()) return;
  if (!whole) return Finish(EndingOf(absl::InternalError("the request ends in the middle of a message")));
  if (const std::shared_ptr<Call> call = call_) call->OnHalfClose();
}

void Stream::ResumeRequest() {
  paused_ = false;
  ConsumeRequest();
}

void Stream::ConsumeRequest() {
  if (unconsumed_ == 0) return;
  nghttp2_session_consume(session_->raw(), id_, std::exchange(unconsumed_, 0));
  session_->WantOutput();
}

// ---- The response.

void Stream::SendHeaders(Metadata metadata) {
  if (begun_ || finished()) return;
  headers_ = std::move(metadata);
  BeginResponse();
  session_->WantOutput();
}

void Stream::BeginResponse() {
  begun_ = true;
  const std::vector<nghttp2_nv> headers = ResponseHeaders(headers_);
  nghttp2_submit_headers(session_->raw(), NGHTTP2_FLAG_NONE, id_, nullptr, headers.data(), headers.size(), nullptr);
  Metadata().swap(headers_);
}

void Stream::Ready() {
  if (ended_) return;
  // Until there is nothing to send: a peer that gives no room must not be waited for without end.
  if (!listed()) loop().writing().Add(*this, loop().now());
  if (!begun_) BeginResponse();
  session_->Enqueue(this);
}

void Stream::Finish(Ending ending) {
  if (finished()) return;
  ending_ = std::move(ending);
  if (asking_) return;
  // What the call still has to say goes first.
  if (message_ == nullptr && call_ != nullptr) message_ = Ask();
  if (message_ == nullptr) return SubmitTrailers();
  Ready();
}

SharedBytes Stream::Ask() {
  asking_ = true;
  SharedBytes message = call_->NextMessage();
  asking_ = false;
  return message;
}

void Stream::Cut(Ending ending) {
  if (ended_) return;
  EndEarly(std::move(ending));
  SubmitTrailers();
}

void Stream::EndEarly(Ending ending) {
  if (!finished() || ending_->code == 0) ending_ = std::move(ending);
}

void Stream::SubmitTrailers() {
  if (std::exchange(ended_, true)) return;
  const bool cut = sending();
  EndMessage();
  if (not_grpc_) {
    // It has no status by which it could tell that it is not whole.
    cut ? nghttp2_submit_rst_stream(session_->raw(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR)
        : nghttp2_submit_trailer(session_->raw(), id_, nullptr, 0);
    return session_->WantOutput();
  }
  const bool trailers_only = !begun_ && headers_.empty();
  const std::string code = absl::StrCat(ending_->code);
  const std::string message = PercentEncode(ending_->message);
  std::vector<nghttp2_nv> trailers;
  if (trailers_only) trailers = {Fixed(":status", "200"), Fixed("content-type", "application/grpc")};
  trailers.push_back(Header("grpc-status", code));
  if (!message.empty()) trailers.push_back(Header("grpc-message", message, NGHTTP2_NV_FLAG_NO_INDEX));
  for (const auto& trailer : ending_->trailers) trailers.push_back(HeaderOf(trailer));

  nghttp2_session* const raw = session_->raw();
  if (trailers_only) {
    nghttp2_submit_response(raw, id_, trailers.data(), trailers.size(), nullptr);
  } else {
    if (!begun_) {
      const std::vector<nghttp2_nv> headers = ResponseHeaders(headers_);
      nghttp2_submit_headers(raw, NGHTTP2_FLAG_NONE, id_, nullptr, headers.data(), headers.size(), nullptr);
    }
    // Goes ahead of DATA that waits for room.
    nghttp2_submit_trailer(raw, id_, trailers.data(), trailers.size());
  }
  begun_ = true;
  session_->WantOutput();
}

void Stream::RefuseHttp(int status, std::string_view text) {
  ending_ = Ending{kUnavailable, "", {}};
  begun_ = not_grpc_ = true;
  const std::string code = absl::StrCat(status);
  std::vector<nghttp2_nv> headers = {Header(":status", code), Fixed("content-type", "text/plain; charset=utf-8")};
  if (status == 405) headers.push_back(Fixed("allow", "POST"));
  nghttp2_submit_headers(session_->raw(), NGHTTP2_FLAG_NONE, id_, nullptr, headers.data(), headers.size(), nullptr);
  message_ = std::make_shared<const std::string>(text);
  // As it is, without a prefix.
  sent_ = kPrefixBytes;
  Ready();
}

void Stream::PrepareFrame(int step) const {
  if (call_ == nullptr || message_ != nullptr) return;
  step == 0 ? Prefetch(call_.get(), Call::kPreparedBytes) : call_->PrepareNext(step - 1);
}

size_t Stream::AppendFrame(size_t room, std::string* out) {
  if (ended_) return 0;
  if (message_ == nullptr && !finished() && call_ != nullptr) message_ = Ask();
  if (message_ == nullptr) {
    loop().writing().Remove(*this);
    if (finished()) SubmitTrailers();
    return 0;
  }
  if (!listed()) loop().writing().Add(*this, loop().now());
  const size_t size = message_->size();
  const size_t now = std::min(kPrefixBytes + size - sent_, room);
  const auto byte = [](size_t value, int shift) { return static_cast<char>(value >> shift); };
  const auto id = static_cast<size_t>(id_);
  const char head[kFrameHeaderBytes + kPrefixBytes] = {byte(now, 16), byte(now, 8), byte(now, 0), NGHTTP2_DATA,
                                                       NGHTTP2_FLAG_NONE, byte(id, 24), byte(id, 16), byte(id, 8),
                                                       byte(id, 0),
                                                       // gRPC's prefix: not compressed.
                                                       0, byte(size, 24), byte(size, 16), byte(size, 8), byte(size, 0)};
  size_t body = now;
  if (sent_ == 0 && now >= kPrefixBytes) {
    out->append(head, sizeof head);
    body -= kPrefixBytes;
    sent_ = kPrefixBytes;
  } else {
    out->append(head, kFrameHeaderBytes);
    if (sent_ < kPrefixBytes) {
      const size_t some = std::min(now, kPrefixBytes - sent_);
      out->append(head + kFrameHeaderBytes + sent_, some);
      body -= some;
      sent_ += some;
    }
  }
  if (body > 0) out->append(*message_, sent_ - kPrefixBytes, body);
  sent_ += body;
  if (sent_ == kPrefixBytes + size) OnMessageSent();
  return now;
}

void Stream::OnMessageSent() {
  EndMessage();
  if (!finished()) return;
  message_ = call_ != nullptr ? Ask() : nullptr;
  if (message_ == nullptr) return SubmitTrailers();
  loop().writing().Add(*this, loop().now());
}

void Stream::EndMessage() {
  message_ = nullptr;
  sent_ = 0;
  if (held_answer_ > 0) session_->held().Return(std::exchange(held_answer_, 0));
  loop().writing().Remove(*this);
}

// ---- The end.

void Stream::OnDeadline() {
  in_deadlines_ = false;
  if (ended_) return;
  // What is in flight would come too late.
  EndEarly({kDeadlineExceeded, "Deadline Exceeded", {}});
  const std::shared_ptr<Call> call = std::exchange(call_, nullptr);
  if (call != nullptr) call->OnClosed(Call::Why::kDeadline);
  SubmitTrailers();
}

void Stream::OnStalled(absl::Duration stalled) {
  Ending ending = call_ != nullptr ? call_->OnStalled(stalled) : Ending{kUnavailable, "", {}};
  Cut(std::move(ending));
}

void Stream::OnClosed() {
  if (std::exchange(in_deadlines_, false)) loop().RemoveDeadline(this, deadline_);
  if (unconsumed_ > 0) nghttp2_session_consume_connection(session_->raw(), std::exchange(unconsumed_, 0));
  EndMessage();
  HoldRequest(0);
  Release(held_call_);
  if (std::exchange(forwarded_, false)) --session_->forwarded();
  ended_ = true;
  const std::shared_ptr<Call> call = std::exchange(call_, nullptr);
  if (call != nullptr) call->OnClosed(finished() ? Call::Why::kFinished : Call::Why::kCancelled);
}

}  // namespace meshgate::server::wire
