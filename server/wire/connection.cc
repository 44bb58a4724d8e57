#include "server/wire/connection.h"

#include <algorithm>
#include <random>
#include <utility>

#include "boost/asio/error.hpp"
#include "boost/asio/post.hpp"
#include "consul/base/errors.h"
#include "server/log.h"

namespace meshgate::server::wire {
namespace {

using boost::system::error_code;
using Cut = metrics::ConnectionReporter::Cut;

// An answer to the ping between the two GOAWAYs takes a round trip.
constexpr absl::Duration kGoAwayWithin = absl::Milliseconds(500);

// Spread over so much on either side, so that clients do not come back together.
constexpr double kAgeJitter = 0.1;

// After so long others on the loop have their turn. A piece is what is taken without a look at the clock: few bytes can
// ask for much, a thousand times as many where they are compressed.
constexpr absl::Duration kTurn = absl::Microseconds(100);
constexpr size_t kLeastPieceBytes = 64;
// So many streams may all have to do with a single frame.
constexpr size_t kManyStreams = 256;
constexpr size_t kMostPieceBytes = 512;
constexpr size_t kLeastReadBytes = 1 << 10;

// The same of calls that end with their connection.
constexpr size_t kEndsPerTurn = 32;

absl::Duration Jittered(absl::Duration age) {
  if (age == absl::InfiniteDuration()) return age;
  thread_local std::mt19937 random{std::random_device{}()};
  return age * std::uniform_real_distribution<double>(1 - kAgeJitter, 1 + kAgeJitter)(random);
}

}  // namespace

Connection::Connection(EventLoop* loop, int fd, std::string peer, const ConnectionOptions* options,
                       const CallFactory* calls, tls::HandshakeBudget::Place place, std::function<void()> on_closed)
    : loop_(loop),
      options_(options),
      on_closed_(std::move(on_closed)),
      socket_(&loop->poller(), fd, this),
      session_({loop, &options->session, calls}, std::move(peer), [this] { FlushSoon(); }),
      opened_(loop->now()),
      heard_(loop->now()),
      go_away_at_(loop->now() + Jittered(options->max_age)) {
  if (options->tls == nullptr) return;
  tls_ = std::make_unique<tls::Channel>(options->tls->context().get());
  handshake_ = std::make_unique<tls::HandshakeBudget::Place>(std::move(place));
}

void Connection::Start() {
  if (!socket_.watched()) {
    Log(LogLevel::kWarn, "a connection is closed: the kernel has no memory to watch it", {{"peer", session_.peer()}});
    return Close();
  }
  // In plain text, too, the client speaks first: many that come only to go are not worth a send.
  socket_.WaitReadable();
}

// Readiness, not bytes: a connection that waits has no buffer.
void Connection::OnReadable() {
  const auto self = shared_from_this();
  if (closed_) return;
  // Nothing is read before its turn: handshakes that wait have no buffer either.
  shaking_hands() ? loop_->HandshakeLater(self) : ReadMore();
}

void Connection::ReadMore() {
  loop_->Tick();
  std::vector<char>& buffer = loop_->read_buffer();
  error_code error;
  size_t size = socket_.Read(buffer.data(), read_bytes_, &error);
  if (error && error != boost::asio::error::would_block) {
    // Who sends no more may still be reading what was said.
    at_end_ = error == boost::asio::error::eof && (writing_ || flush_due_);
    return at_end_ ? void() : Close();
  }
  // What is behind the last bytes is to be known before they are answered.
  if (!error && size < read_bytes_ && socket_.reads_short()) {
    size += socket_.Read(buffer.data() + size, read_bytes_ - size, &error);
    at_end_ = error == boost::asio::error::eof;
  }
  if (size > 0) heard_ = loop_->now();
  if (size == read_bytes_) read_bytes_ = std::min(2 * read_bytes_, buffer.size());
  const bool broken = error && error != boost::asio::error::would_block && !at_end_;
  Take({buffer.data(), size});
  if (broken) Close();
}

void Connection::Take(std::string_view bytes) {
  const absl::Time begun = loop_->now();
  absl::Time before = begun;
  const size_t size = bytes.size();
  char opened[kMostPieceBytes];
  bool more = HasMore(bytes);
  while (!closing_ && more && before - begun < kTurn) {
    const auto piece = NextPiece(&bytes, session_.streams() > kManyStreams ? kLeastPieceBytes : piece_bytes_, opened);
    if (!piece.has_value()) return Close();
    // What ends the connection is said before it is closed.
    closing_ = !session_.Receive(*piece);
    more = HasMore(bytes);
    if (!more) break;
    loop_->Tick();
    if (loop_->now() - before > kTurn / 2) {
      piece_bytes_ = std::max(piece_bytes_ / 2, kLeastPieceBytes);
    } else if (loop_->now() - before < kTurn / 16) {
      piece_bytes_ = std::min(2 * piece_bytes_, kMostPieceBytes);
    }
    before = loop_->now();
  }
  if (closing_ && options_->reporter != nullptr) options_->reporter->OnCut(Cut::kProtocol);
  if (closing_) more = false;
  // What is left may be in `untaken_` itself.
  if (!more) {
    std::string().swap(untaken_);
  } else if (untaken_.empty()) {
    untaken_ = bytes;
    untaken_at_ = 0;
    read_bytes_ = std::max(kLeastReadBytes, size - bytes.size());
  } else {
    untaken_at_ = untaken_.size() - bytes.size();
  }
  Flush();
  loop_->deliveries().Flush(loop_->now());
  if (closing_ && !writing_ && !flush_due_) Close();
  if (closed_ || closing_) return;
  if (!more) return at_end_ ? void() : socket_.WaitReadable();
  boost::asio::post(loop_->io(), [self = shared_from_this()] {
    if (self->closed_) return;
    self->loop_->Tick();
    self->Take(std::string_view(self->untaken_).substr(self->untaken_at_));
  });
}

bool Connection::CameForNothing() const { return heard_all() && session_.uncalled() && !session_.failed(); }

void Connection::FlushSoon() {
  if (closed_ || std::exchange(flush_due_, true)) return;
  loop_->FlushLater(shared_from_this());
}

void Connection::Flush() {
  flush_due_ = false;
  spoken_ = true;
  loop_->Tick();
  const absl::Time begun = loop_->now();
  while (!writing_ && !closed_) {
    if (loop_->now() - begun >= kTurn) return FlushSoon();
    std::string& out = loop_->scratch();
    out.clear();
    if (!session_.Produce(&out, kSendBytes)) return Close();
    if (CameForNothing()) return Close();
    if (out.empty() && (tls_ == nullptr || !tls_->HasToSay())) {
      if (session_.Done() || closing_ || (heard_all() && session_.streams() == 0)) return Close();
      // Calls that are not answered within a turn are given up.
      if (heard_all()) socket_.WaitReadable();
      return;
    }
    if (tls_ == nullptr) {
      if (!Send(out)) return;
      continue;
    }
    std::string& sealed = loop_->sealed();
    sealed.clear();
    if (!tls_->Seal(out, &sealed)) return Close();
    if (!Send(sealed)) return;
  }
}

bool Connection::Send(const std::string& bytes) {
  error_code error;
  const size_t sent = socket_.Write(bytes, &error);
  if (error && error != boost::asio::error::would_block) {
    Close();
    return false;
  }
  loop_->Tick();
  if (sent == bytes.size()) return true;
  rest_.assign(bytes, sent, std::string::npos);
  rest_at_ = 0;
  writing_ = true;
  writing_since_ = loop_->now();
  socket_.WaitWritable();
  return true;
}

void Connection::OnWritable() {
  const auto self = shared_from_this();
  if (closed_) return;
  error_code error;
  rest_at_ += socket_.Write(std::string_view(rest_).substr(rest_at_), &error);
  const bool failed = error && error != boost::asio::error::would_block;
  if (!failed && rest_at_ < rest_.size()) return socket_.WaitWritable();
  writing_ = false;
  std::string().swap(rest_);
  if (failed) return Close();
  loop_->Tick();
  if (shaking_hands()) return socket_.WaitReadable();
  Flush();
  loop_->deliveries().Flush(loop_->now());
}

void Connection::GoAway() {
  if (closed_ || session_.going_away()) return;
  // It has no calls that could be waited for.
  if (shaking_hands()) return Close();
  // With a ping, whose answer is due from now on.
  going_since_ = pinged_ = loop_->now();
  session_.GoAway();
}

void Connection::OnSweep() {
  if (closed_) return;
  if (shaking_hands()) return CheckHandshake();
  if (!spoken_ && loop_->MayGreet()) Flush();
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
  // However slowly it comes.
  if (!session_.greeted() && now - opened_ >= options_->keepalive_timeout) return CutOff(Cut::kKeepalive);
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
  handshake_.reset();
  error_code ignored;
  if (tls_ != nullptr && !writing_) {
    std::string last_words;
    tls_->End(&last_words);
    socket_.Write(last_words, &ignored);
  }
  socket_.Close();
  std::string().swap(rest_);
  EndCalls();
}

void Connection::EndCalls() {
  if (!session_.CloseSome(kEndsPerTurn)) {
    return boost::asio::post(loop_->io(), [self = shared_from_this()] { self->EndCalls(); });
  }
  loop_->Remove(shared_from_this());
  on_closed_();
}

}  // namespace meshgate::server::wire
