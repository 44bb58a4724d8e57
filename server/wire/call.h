// What serves a stream, whichever way.
#ifndef MESHGATE_SERVER_WIRE_CALL_H_
#define MESHGATE_SERVER_WIRE_CALL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/wire/header_codec.h"

namespace meshgate::server::wire {

class Stream;

// The bytes of a message, shared by all who are sent it. Its gRPC prefix is written as it goes out.
using SharedBytes = std::shared_ptr<const std::string>;

// A request's headers, within the limit of a session.
struct RequestHead {
  std::string method;
  std::string path;
  std::string authority;
  std::string content_type;
  std::string encoding;
  std::string timeout;
  // All others, in order.
  Metadata metadata;
  // Names, values and 32 bytes for each, as HTTP/2 counts them.
  size_t bytes = 0;
};

// How a call ends, as its trailers say it.
struct Ending {
  int code = 0;
  std::string message;
  // Beside grpc-status and grpc-message; grpc-status-details-bin among them.
  Metadata trailers;
};

// `status` with its details.
Ending EndingOf(const absl::Status& status);

// One gRPC call, served on its loop's thread, on which all of this is called. Shared by its stream and by whoever works
// for it on other threads, so it may outlive the stream: OnClosed() is the last the stream has to say, and comes once.
class Call {
 public:
  virtual ~Call() = default;

  // The next message of the request.
  virtual void OnMessage(std::string message) = 0;
  // No other will follow.
  virtual void OnHalfClose() = 0;

  // The peer has room: the next message of the response, or null. After Stream::Ready() it is asked again. A call that
  // is asked may end the stream by Stream::Finish(). OnClosed() never comes inside.
  virtual SharedBytes NextMessage() = 0;
  // NextMessage() comes soon, and so much of the call is in the processor's cache: the place to Prefetch() what else it
  // will touch. Step 0: what the call's members point to; step 1, when that is there: what those point to. It may be
  // left out.
  static constexpr size_t kPreparedBytes = 320;
  virtual void PrepareNext(int step) const {}
  // Whether it had better be asked at once again. Where it is false, Stream::Ready() says when.
  virtual bool HasMore() const { return true; }

  // The message in flight has made no way for longer than a reader may take: how the stream ends.
  virtual Ending OnStalled(absl::Duration stalled) = 0;

  // The stream is over: ended by Stream::Finish(), by its deadline, or by the peer.
  enum class Why { kFinished, kDeadline, kCancelled };
  virtual void OnClosed(Why why) = 0;
};

// Makes the call for a stream that has just begun. It may end it at once.
using CallFactory = std::function<std::shared_ptr<Call>(Stream* stream)>;

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_CALL_H_
