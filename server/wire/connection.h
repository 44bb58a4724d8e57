// A socket and its session.
#ifndef MESHGATE_SERVER_WIRE_CONNECTION_H_
#define MESHGATE_SERVER_WIRE_CONNECTION_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "metrics/connection_reporter.h"
#include "server/tls/channel.h"
#include "server/tls/endpoint.h"
#include "server/wire/event_loop.h"
#include "server/wire/poller.h"
#include "server/wire/session.h"

namespace meshgate::server::wire {

struct ConnectionOptions {
  SessionOptions session;
  // A connection that has been silent for so long is pinged, and closed when no answer comes in time. The timeout is
  // also the socket's TCP_USER_TIMEOUT: what a peer's host has not acknowledged in it, or what a peer that has stopped
  // reading its socket altogether has no room for, closes the connection, too, when a ping could not even be sent.
  absl::Duration keepalive_time = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // So old it is told to go elsewhere, give or take a tenth, and so much later its calls are ended.
  absl::Duration max_age = absl::InfiniteDuration();
  absl::Duration max_age_grace = absl::Seconds(10);
  // Outlives the connections; null: nobody is told.
  metrics::ConnectionReporter* reporter = nullptr;
  // What TLS is spoken with; null: plain text.
  std::shared_ptr<tls::Endpoint> tls;
};

// One client's connection, on its loop's thread, in plain text or TLS, which then begins with a handshake. Holds no
// buffer but for what its socket has not taken, at most kSendBytes and a frame, and for what was read and takes long to
// be done with.
class Connection final : public std::enable_shared_from_this<Connection>, private PolledSocket::Owner {
 public:
  // Of frames that are put together for one send.
  static constexpr size_t kSendBytes = 256 << 10;

  // Of the first read. The same is read again as long as that is quickly done with.
  static constexpr size_t kFirstReadBytes = 16 << 10;

  // Of what was read, taken at a time at first.
  static constexpr size_t kFirstPieceBytes = 64;

  // Owns `fd`, a connected socket. `options` and `calls` outlive it. `on_closed` is called once, on the loop. With TLS,
  // `place` is one of the endpoint's for the handshake.
  Connection(EventLoop* loop, int fd, std::string peer, const ConnectionOptions* options, const CallFactory* calls,
             tls::HandshakeBudget::Place place, std::function<void()> on_closed);

  void Start();
  // Sends what there is to send.
  void Flush();
  // The loop has time for it.
  void ContinueHandshake();
  void OnSweep();
  // Takes no new calls from here on, and closes when those that are open have ended.
  void GoAway();
  // Ends its calls, each with `ending`.
  void CutCalls(const Ending& ending) { session_.CutAll(ending); }
  void Close();

 private:
  void OnReadable() override;
  void OnWritable() override;
  void ReadMore();
  // Takes what was read, as much as there is time for, and says what there is to say to it. Others have their turn
  // before the rest.
  void Take(std::string_view bytes);
  // The peer has made no call and no error, and sends no more: it is not told that its settings and pings have come.
  bool CameForNothing() const;
  // The peer sends no more, and all that it has sent was taken.
  bool heard_all() const { return at_end_ && !HasMore(untaken_); }
  bool HasMore(std::string_view bytes) const { return !bytes.empty() || (tls_ != nullptr && tls_->HasMore()); }
  // The next piece of what was read, taken off the front of it and, into `buffer`, decrypted; empty where it was no
  // data. nullopt: the peer has ended the connection, or broken it.
  std::optional<std::string_view> NextPiece(std::string_view* bytes, size_t most, char* buffer);
  // Sends what the socket takes, and keeps the rest. False: the connection is closed.
  bool Send(const std::string& bytes);
  void FlushSoon();
  bool shaking_hands() const { return handshake_ != nullptr; }
  void CheckHandshake();
  void FailHandshake(const tls::Failure& failure, std::string_view last_words);
  // The calls of a connection that is closed end some at a time.
  void EndCalls();
  // Against the peer's wish.
  void CutOff(metrics::ConnectionReporter::Cut why);
  void CheckAge();
  void CheckKeepalive();

  EventLoop* const loop_;
  const ConnectionOptions* const options_;
  const std::function<void()> on_closed_;
  PolledSocket socket_;
  Session session_;
  // Null: plain text.
  std::unique_ptr<tls::Channel> tls_;
  // Of one that is in progress.
  std::unique_ptr<tls::HandshakeBudget::Place> handshake_;
  // What the socket did not take, from `rest_at_` on.
  std::string rest_;
  size_t rest_at_ = 0;
  // Of the next read. What takes long is read in smaller pieces, so that little is kept here.
  size_t read_bytes_ = kFirstReadBytes;
  size_t piece_bytes_ = kFirstPieceBytes;
  // Read, and not taken yet from `untaken_at_` on.
  std::string untaken_;
  size_t untaken_at_ = 0;
  // There is nothing behind what was read.
  bool at_end_ = false;
  // Flush() was here. Where a peer waits to be greeted, as Envoy does before its first call, a sweep sees to it.
  bool spoken_ = false;
  bool writing_ = false;
  absl::Time writing_since_;
  bool flush_due_ = false;
  bool closing_ = false;
  bool closed_ = false;
  const absl::Time opened_;
  absl::Time heard_;
  // Of a handshake.
  bool heard_any_ = false;
  absl::Time pinged_ = absl::InfinitePast();
  absl::Time go_away_at_;
  absl::Time going_since_;
  absl::Time cut_at_ = absl::InfiniteFuture();
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_CONNECTION_H_
