// A connection's HTTP/2: bytes in, calls, bytes out. No socket.
#ifndef MESHGATE_SERVER_WIRE_SESSION_H_
#define MESHGATE_SERVER_WIRE_SESSION_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "server/wire/call.h"
#include "server/wire/frame_guard.h"
#include "server/wire/memory_budget.h"
#include "server/wire/send_queue.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {

class EventLoop;

// Limits on what one peer can cost.
struct SessionOptions {
  // Of a request, on the wire and decompressed; the largest legal one is a value of 512 KiB with its key.
  size_t max_request_bytes = 1 << 20;
  // Of a request's headers; beyond it the call fails. One that sends sixteen times as many is cut off.
  size_t max_header_bytes = 16 << 10;
  // Calls open on one connection at a time; more wait at the client.
  uint32_t max_streams = 4096;
  // Of those, calls that are forwarded, which cost tens of times as much; beyond it they fail.
  size_t max_forwarded = 250;
  // Of requests that are not complete or being served, and of answers that are not taken; a loop has such a limit for
  // all, too. Calls that would exceed it fail. What is sent to many is not counted.
  size_t max_held_bytes = 24 << 20;
  // Clients may ping this often; those that do so oftener three times in a row get their connection closed. Go's and
  // Java's ping every 10 s at most, whatever they are told; the rest is room for pings that a network lets bunch up.
  absl::Duration least_ping_interval = absl::Seconds(5);
};

// What the session needs of its connection and its server. All of it outlives the session.
struct SessionEnvironment {
  EventLoop* loop;
  const SessionOptions* options;
  // For every stream that is gRPC.
  const CallFactory* calls;
};

// One per connection, on its loop's thread. Every stream that was begun is told of its end before the session is gone.
class Session {
 public:
  // `on_output` is called when there may be something to send, other than inside Receive() and Produce().
  Session(const SessionEnvironment& environment, std::string peer, std::function<void()> on_output);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Takes bytes from the peer. Returns false when the connection must be closed, once what Produce() still gives was
  // sent: the peer does not speak HTTP/2, or costs more than it may.
  bool Receive(std::string_view bytes);

  // Appends what is to be sent until `out` holds `enough`, or some hundred frames, or there is nothing more. Returns
  // false when the connection must be closed at once.
  bool Produce(std::string* out, size_t enough);

  // Neither side has anything to say any more.
  bool Done() const;

  // Tells the peer to send no new calls here: first that the end is near, and then, when it has answered a ping or the
  // owner has waited long enough for that and calls FinishGoAway(), which call was the last.
  void GoAway();
  void FinishGoAway();
  bool going_away() const { return going_away_; }

  // The peer speaks HTTP/2: its SETTINGS have come.
  bool greeted() const { return greeted_; }

  void Ping();
  // Since the last Ping().
  bool ping_answered() const { return ping_answered_; }

  // Who the peer's certificate says that it is. Before anything is received.
  void SetTlsIdentity(std::string identity) { tls_identity_ = std::move(identity); }

  size_t streams() const { return streams_.size(); }
  // The peer has begun no call so far.
  bool uncalled() const { return nghttp2_session_get_last_proc_stream_id(session_) == 0; }
  // It is told of an error, and is to be closed then.
  bool failed() const { return failed_; }
  // Ends every call that is open, now.
  void CutAll(const Ending& ending);
  // The connection is gone, and every stream with it: ends `most` of them, and returns whether all have ended. Nothing
  // may be received or produced any more.
  bool CloseSome(size_t most);

  // ---- For its streams.
  EventLoop& loop() const { return *environment_.loop; }
  const SessionOptions& options() const { return *environment_.options; }
  MemoryBudget& held() { return *held_; }
  // For what outlives the session; on the loop's thread.
  const std::shared_ptr<MemoryBudget>& shared_held() const { return held_; }
  // Calls that are served by a grpc::Server.
  size_t& forwarded() { return forwarded_; }
  const CallFactory& calls() const { return *environment_.calls; }
  const std::string& peer() const { return peer_; }
  const std::string& tls_identity() const { return tls_identity_; }
  nghttp2_session* raw() const { return session_; }
  // It may have DATA.
  void Enqueue(Stream* stream);
  void WantOutput();

 private:
  friend struct Callbacks;

  Stream* Find(int32_t id) const;
  void Begin(int32_t id);
  void End(Stream* stream);
  void OnWindow(int32_t id, uint32_t increment);
  void OnSettings();
  void FailFlowControl();
  void OnPing();
  void OnPong();
  // Appends what nghttp2 has, until `out` holds `enough`. Returns false when the connection must be closed.
  bool ProduceControl(std::string* out, size_t enough);
  void SayTooManyPings();
  // With the last call that was looked at.
  void SubmitGoAway(uint32_t error, std::string_view why);

  const SessionEnvironment environment_;
  const std::string peer_;
  std::string tls_identity_;
  const std::function<void()> on_output_;
  nghttp2_session* session_ = nullptr;
  FrameGuard guard_;
  const std::shared_ptr<MemoryBudget> held_;
  size_t forwarded_ = 0;
  absl::flat_hash_set<Stream*> streams_;
  bool had_many_streams_ = false;
  SendQueue queue_;
  // That give the peer reason for some of its own.
  size_t frames_sent_ = 0;
  bool inside_ = false;
  // Nothing but what nghttp2 has to say is sent any more.
  bool failed_ = false;
  bool going_away_ = false;
  bool gone_away_ = false;
  bool last_call_due_ = false;
  bool pinged_too_often_ = false;
  bool greeted_ = false;
  int32_t last_call_ = 0;
  bool ping_answered_ = true;
  int ping_strikes_ = 0;
  absl::Time last_ping_ = absl::InfinitePast();
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_SESSION_H_
