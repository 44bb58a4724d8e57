// One HTTP/2 stream of a session: a gRPC call on its way in and out.
#ifndef MESHGATE_SERVER_WIRE_STREAM_H_
#define MESHGATE_SERVER_WIRE_STREAM_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "server/wire/call.h"
#include "server/wire/memory_budget.h"
#include "server/wire/message_reader.h"
#include "server/wire/send_queue.h"
#include "server/wire/timed_list.h"

namespace meshgate::server::wire {

class EventLoop;
class Session;

// Lives as long as HTTP/2's stream, owned by its session; everything happens on the loop's thread.
//
// What it holds for a reader: nothing while the peer has no room for it, a reference to one message while that goes
// out. What it holds of a request: the message being put together.
class Stream final : public TimedList::Entry, public QueuedStream {
 public:
  Stream(Session* session, int32_t id);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // ---- For the call.
  EventLoop& loop() const;
  const std::string& peer() const;
  // Of the peer's certificate; empty without one.
  const std::string& tls_identity() const;
  // Valid until the call has been made.
  const RequestHead& head() const { return *head_; }
  // When the caller stops waiting; InfiniteFuture() without a deadline.
  absl::Time deadline() const { return deadline_; }

  // Sends the response's headers at once; otherwise they go with what comes first. At most once.
  void SendHeaders(Metadata metadata);
  // What SendHeaders() would send, to go with what comes first.
  void SetHeaders(Metadata metadata) { headers_ = std::move(metadata); }
  // Call::NextMessage() may have something.
  void Ready();
  // Ends the stream when all that NextMessage() has is on its way. The first end counts.
  void Finish(Ending ending);
  // Ends it now: what is left of a message in flight is not sent.
  void Cut(Ending ending);
  bool finished() const { return ending_.has_value(); }
  // Where it is.
  const Ending& ending() const { return *ending_; }
  // A message is on its way out.
  bool sending() const { return message_ != nullptr; }

  // Counts an answer that is this call's alone, until it is taken. Returns false where the peer leaves too much
  // untaken.
  bool HoldAnswer(size_t bytes);
  // Counts what the call keeps for its peer in other ways, until Release() or the end. Returns false where that is too
  // much.
  bool Hold(size_t bytes);
  void Release(size_t bytes);
  // Hold() for what may outlive the stream: of the connection's budget, until Return() of that on the loop's thread.
  // Null where it would be too much.
  std::shared_ptr<MemoryBudget> HoldBeyond(size_t bytes);
  // Counts it among the calls that are forwarded, until its end. Returns false where there are as many as may be.
  bool BeginForwarded();
  // So much is not taken that another call had better be served when its stream has room, in NextMessage().
  bool behind() const;

  // Stops the peer from sending more of the request than it has been allowed, and lets it go on.
  void PauseRequest() { paused_ = true; }
  void ResumeRequest();

  // ---- For the session.
  // A header of the request. Returns false where the peer has gone far beyond the limit.
  bool OnHeader(std::string_view name, std::string_view value);
  void OnRequestHeaders(bool last);
  void OnData(std::string_view bytes);
  void OnRequestEnd();
  // The response is out. Returns whether the peer still has to be told to stop sending.
  bool OnResponseEnd() const { return !request_ended_; }
  void OnClosed();
  void OnDeadline();
  void OnStalled(absl::Duration stalled);

  int32_t id() const { return id_; }

  // ---- For the queue.
  // Appends a frame of DATA with at most `room` bytes of what there is to send, and returns with how many; 0: there is
  // nothing.
  size_t AppendFrame(size_t room, std::string* out);
  // AppendFrame() comes soon: has what it will touch beside the stream fetched, one pointer further with each step.
  static constexpr int kPrepareSteps = 3;
  void PrepareFrame(int step) const;
  // AppendFrame() may have something.
  bool MayHaveMore() const { return !ended_ && (message_ != nullptr || (call_ != nullptr && call_->HasMore())); }

 private:
  // An answer without gRPC's headers, for what is not gRPC.
  void RefuseHttp(int status, std::string_view text);
  void StartCall();
  void BeginResponse();
  // The first end counts, but for OK, which would say that the answer is whole.
  void EndEarly(Ending ending);
  void SubmitTrailers();
  void SetDeadline();
  void ConsumeRequest();
  void OnMessageSent();
  void EndMessage();
  bool HoldRequest(size_t bytes);
  // What the call says next. It may end the stream meanwhile, which then is left to whoever has asked.
  SharedBytes Ask();

  Session* const session_;
  const int32_t id_;
  std::unique_ptr<RequestHead> head_;
  std::unique_ptr<MessageReader> reader_;
  std::shared_ptr<Call> call_;
  Metadata headers_;

  // The message in flight, and how much of it with its prefix has gone.
  SharedBytes message_;
  size_t sent_ = 0;

  // Of the session's budget.
  size_t held_request_ = 0;
  size_t held_answer_ = 0;
  size_t held_call_ = 0;
  bool asking_ = false;

  std::optional<Ending> ending_;
  absl::Time deadline_ = absl::InfiniteFuture();
  // Bytes of the request that the peer has not been given back.
  size_t unconsumed_ = 0;
  bool request_ended_ = false;
  bool paused_ = false;
  bool forwarded_ = false;
  bool begun_ = false;  // headers are submitted
  bool ended_ = false;  // trailers are submitted
  bool not_grpc_ = false;
  bool in_deadlines_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_STREAM_H_
