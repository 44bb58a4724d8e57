// What of a connection has to do with TLS.
#include <utility>
#include <vector>

#include "boost/asio/error.hpp"
#include "server/wire/connection.h"

namespace meshgate::server::wire {
namespace {

using boost::system::error_code;
using metrics::HandshakeFailure;
using tls::Channel;

}  // namespace

void Connection::ContinueHandshake() {
  if (closed_) return;
  loop_->Tick();
  std::vector<char>& buffer = loop_->read_buffer();
  error_code error;
  const size_t size = socket_.Read(buffer.data(), kFirstReadBytes, &error);
  if (error == boost::asio::error::would_block) return socket_.WaitReadable();
  if (error) return FailHandshake({HandshakeFailure::kClosed, error.message()}, {});
  heard_ = loop_->now();
  heard_any_ = true;
  std::string_view bytes(buffer.data(), size);
  std::string& out = loop_->sealed();
  out.clear();
  const Channel::Result result = tls_->Handshake(&bytes, &out);
  if (result == Channel::Result::kFailed) return FailHandshake(tls_->failure(), out);
  if (!out.empty() && !Send(out)) return options_->tls->OnFailure({HandshakeFailure::kClosed, ""}, session_.peer());
  if (result == Channel::Result::kMore) {
    // Goes on when what it says has left: the peer has reason to read it.
    if (!writing_) socket_.WaitReadable();
    return;
  }
  handshake_.reset();
  session_.SetTlsIdentity(tls_->PeerIdentity());
  Take(bytes);
}

void Connection::FailHandshake(const tls::Failure& failure, std::string_view last_words) {
  if (failure.http) last_words = tls::kAnswerToPlainHttp;
  if (failure.reason == HandshakeFailure::kPlaintext && !failure.http) last_words = {};
  error_code ignored;
  if (!writing_ && !last_words.empty()) {
    socket_.Write(last_words, &ignored);
  }
  options_->tls->OnFailure(failure, session_.peer());
  Close();
}

void Connection::CheckHandshake() {
  // Who says nothing at all is not worth a place for long.
  const absl::Duration timeout = options_->tls->handshake_timeout() / (heard_any_ ? 1 : 5);
  if (loop_->now() - opened_ >= timeout) FailHandshake({HandshakeFailure::kTimeout, ""}, {});
}

std::optional<std::string_view> Connection::NextPiece(std::string_view* bytes, size_t most, char* buffer) {
  if (tls_ == nullptr) {
    const std::string_view piece = bytes->substr(0, most);
    bytes->remove_prefix(piece.size());
    return piece;
  }
  size_t size = 0;
  switch (tls_->Open(bytes, buffer, most, &size)) {
    case Channel::Result::kOk:
    case Channel::Result::kMore:
      return std::string_view(buffer, size);
    case Channel::Result::kEnd:
      return std::nullopt;
    case Channel::Result::kFailed:
      break;
  }
  if (options_->reporter != nullptr) options_->reporter->OnCut(metrics::ConnectionReporter::Cut::kProtocol);
  return std::nullopt;
}

}  // namespace meshgate::server::wire
