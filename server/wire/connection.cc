#include "server/wire/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <utility>

#include "boost/asio/buffer.hpp"
#include "boost/asio/write.hpp"
#include "consul/base/errors.h"

namespace meshgate::server::wire {
namespace {

using boost::system::error_code;
using Cut = metrics::ConnectionReporter::Cut;

// An answer to the ping between the two GOAWAYs takes a round trip.
constexpr absl::Duration kGoAwayWithin = absl::Milliseconds(500);

// Spread over so much on either side, so that clients do not come back together.
constexpr double kAgeJitter = 0.1;

// What one read should take at most, and what is read at least.
constexpr absl::Duration kTurn = absl::Microseconds(500);
constexpr size_t kLeastReadBytes = 1 << 10;

absl::Duration Jittered(absl::Duration age) {
  if (age == absl::InfiniteDuration()) return age;
  thread_local std::mt19937 random{std::random_device{}()};
  return age * std::uniform_real_distribution<double>(1 - kAgeJitter, 1 + kAgeJitter)(random);
}

void SetUp(Connection::Socket& socket, absl::Duration user_timeout) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  const int fd = socket.native_handle();
  // They fail on a Unix socket, which needs neither.
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto millis = static_cast<unsigned int>(absl::ToInt64Milliseconds(user_timeout));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &millis, sizeof millis);
}

}  // namespace

Connection::Connection(EventLoop* loop, Socket socket, std::string peer, const ConnectionOptions* options,
                       const CallFactory* calls, std::function<void()> on_closed)
    : loop_(loop),
      options_(options),
      on_closed_(std::move(on_closed)),
      socket_(std::move(socket)),
      session_({loop, &options->session, calls}, std::move(peer), [this] { FlushSoon(); }),
      heard_(loop->now()),
      go_away_at_(loop->now() + Jittered(options->max_age)) {}

void Connection::Start() {
  SetUp(socket_, options_->keepalive_timeout);
  Flush();
  if (!closed_) Read();
}

void Connection::Read() {
  // Readiness, not bytes: a connection that waits has no buffer.
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (self->closed_) return;
    if (error) return self->Close();
    self->OnReadable();
  });
}

void Connection::OnReadable() {
  loop_->Tick();
  std::vector<char>& buffer = loop_->read_buffer();
  error_code error;
  const size_t size = socket_.read_some(boost::asio::buffer(buffer.data(), read_bytes_), error);
  if (error && error != boost::asio::error::would_block) return Close();
  if (size > 0) {
    heard_ = loop_->now();
    // What ends the connection is said before it is closed.
    closing_ = !session_.Receive({buffer.data(), size});
    if (closing_ && options_->reporter != nullptr) options_->reporter->OnCut(Cut::kProtocol);
  }
  Flush();
  loop_->deliveries().Flush(loop_->now());
  if (closing_ && !writing_) Close();
  if (closed_ || closing_) return;
  AdaptReads(size);
  Read();
}

void Connection::AdaptReads(size_t size) {
  const absl::Time begun = loop_->now();
  loop_->Tick();
  const absl::Duration took = loop_->now() - begun;
  if (took > kTurn) {
    const double share = absl::FDivDuration(kTurn, took);
    read_bytes_ = std::max(kLeastReadBytes, static_cast<size_t>(static_cast<double>(size) * share));
  } else if (size == read_bytes_) {
    read_bytes_ = std::min(2 * read_bytes_, loop_->read_buffer().size());
  }
}

void Connection::FlushSoon() {
  if (closed_ || std::exchange(flush_due_, true)) return;
  loop_->FlushLater(shared_from_this());
}

void Connection::Flush() {
  flush_due_ = false;
  while (!writing_ && !closed_) {
    std::string& out = loop_->scratch();
    out.clear();
    if (!session_.Produce(&out, kSendBytes)) return Close();
    if (out.empty()) {
      if (session_.Done() || closing_) Close();
      return;
    }
    error_code error;
    const size_t sent = socket_.write_some(boost::asio::buffer(out), error);
    if (error && error != boost::asio::error::would_block) return Close();
    if (sent == out.size()) continue;
    rest_.assign(out, sent, std::string::npos);
    WriteRest();
  }
}

void Connection::WriteRest() {
  writing_ = true;
  writing_since_ = loop_->now();
  boost::asio::async_write(socket_, boost::asio::buffer(rest_),
                           [self = shared_from_this()](const error_code& error, size_t) {
                             self->writing_ = false;
                             std::string().swap(self->rest_);
                             if (self->closed_) return;
                             if (error) return self->Close();
                             self->loop_->Tick();
                             self->Flush();
                             self->loop_->deliveries().Flush(self->loop_->now());
                           });
}

void Connection::GoAway() {
  if (closed_ || session_.going_away()) return;
  // With a ping, whose answer is due from now on.
  going_since_ = pinged_ = loop_->now();
  session_.GoAway();
}

void Connection::OnSweep() {
  if (closed_) return;
  if (writing_ && loop_->now() - writing_since_ >= loop_->write_timeout()) return CutOff(Cut::kSlowReader);
  CheckAge();
  CheckKeepalive();
}

void Connection::CheckAge() {
  const absl::Time now = loop_->now();
  if (now >= go_away_at_) {
    go_away_at_ = absl::InfiniteFuture();
    cut_at_ = now + options_->max_age_grace;
    GoAway();
  }
  if (session_.going_away() && now - going_since_ >= kGoAwayWithin) session_.FinishGoAway();
  if (now >= cut_at_) {
    cut_at_ = absl::InfiniteFuture();
    session_.FinishGoAway();
    session_.CutAll(EndingOf(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                                       "the connection has reached its age; call again, on a new one")));
  }
}

void Connection::CheckKeepalive() {
  const absl::Time now = loop_->now();
  if (!session_.ping_answered()) {
    if (now - std::max(pinged_, heard_) >= options_->keepalive_timeout) CutOff(Cut::kKeepalive);
    return;
  }
  if (now - heard_ < options_->keepalive_time) return;
  pinged_ = now;
  session_.Ping();
}

void Connection::CutOff(Cut why) {
  if (options_->reporter != nullptr) options_->reporter->OnCut(why);
  Close();
}

void Connection::Close() {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  socket_.close(ignored);
  // Calls may be told in here.
  session_.Close();
  loop_->Remove(shared_from_this());
  on_closed_();
}

}  // namespace meshgate::server::wire
