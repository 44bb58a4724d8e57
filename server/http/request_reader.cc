#include "server/http/request_reader.h"

#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <string_view>
#include <utility>

#include "absl/time/time.h"

namespace meshgate::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

// At a time, of a head: most are smaller.
constexpr size_t kReadBytes = 1024;

}  // namespace

RequestReader::RequestReader(HttpSessionHost* host, asio::ip::tcp::socket socket)
    : HttpSocket(host->options().tls.get(), std::move(socket)),
      host_(host),
      // One read more than what a head may have before it is refused.
      buffer_(2 * size_t{host->options().max_header_bytes} + kReadBytes) {}

void RequestReader::Read() {
  if (stopping()) return stream().tcp().close();
  parser_.emplace();
  parser_->header_limit(host_->options().max_header_bytes);
  parser_->body_limit(host_->options().max_body_bytes);
  keep_alive_ = is_head_ = is_http_1_0_ = false;
  head_bytes_ = 0;
  stream().tcp().expires_after(absl::ToChronoMilliseconds(host_->options().read_timeout));
  ReadHead();
}

void RequestReader::ReadHead() {
  if (buffer_.size() > 0) {
    if (HasFoldedLine(buffer_)) return OnFailure(http::error::bad_line_ending);
    error_code error;
    const size_t taken = parser_->put(buffer_.data(), error);
    buffer_.consume(taken);
    if (error && error != http::error::need_more) return OnFailure(error);
    // The parser's own limit is for what it is given at once.
    head_bytes_ += taken;
    const size_t unread = parser_->is_header_done() ? 0 : buffer_.size();
    if (head_bytes_ + unread > host_->options().max_header_bytes) return OnFailure(http::error::header_limit);
    if (parser_->is_header_done()) return OnHead();
  }
  stream().async_read_some(buffer_.prepare(kReadBytes), [self = Self()](error_code error, size_t bytes) {
    self->buffer_.commit(bytes);
    if (error) return self->OnFailure(error);
    self->ReadHead();
  });
}

void RequestReader::OnHead() {
  const auto& message = parser_->get();
  if (auto refusal = RefuseHead(message); refusal.has_value()) return Refuse(*std::move(refusal));
  keep_alive_ = message.keep_alive();
  is_head_ = message.method() == http::verb::head;
  is_http_1_0_ = message.version() == 10;
  // Now: what follows a body in chunks would become headers, past every proxy that has looked at them.
  request_ = RequestOf(message);
  const bool waits = message.version() == 11 && beast::iequals(message[http::field::expect], "100-continue");
  if (!waits || parser_->is_done()) return ReadBody();
  // The client keeps the body back until it knows that it is wanted; its size has been looked at.
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(stream(), asio::buffer(kContinue.data(), kContinue.size()),
                    [self = Self()](error_code failed, size_t) {
                      if (failed) return self->OnNoRequest();
                      self->ReadBody();
                    });
}

void RequestReader::ReadBody() {
  if (parser_->is_done()) return OnWhole();
  http::async_read_some(stream(), buffer_, *parser_, [self = Self()](error_code error, size_t) {
    if (error) return self->OnFailure(error);
    // What is announced and does not come counts for nothing.
    if (!self->HoldBody(self->parser_->get().body().size())) return self->Refuse(TooMuchAtOnce());
    self->ReadBody();
  });
}

void RequestReader::OnWhole() {
  HttpRequest request = std::exchange(request_, {});
  request.body = std::move(parser_->get().body());
  request.peer = peer();
  request.tls_identity = tls_identity();
  parser_.reset();
  // Of no use to a connection that is silent from here on.
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
  stream().tcp().expires_never();
  OnRequest(std::move(request));
}

void RequestReader::OnFailure(const error_code& error) {
  auto answer = AnswerTo(error);
  answer.has_value() ? Refuse(*std::move(answer)) : OnNoRequest();
}

void RequestReader::Refuse(HttpResponse refusal) {
  parser_.reset();
  ReturnBody();
  OnBadRequest(std::move(refusal));
}

bool RequestReader::HoldBody(uint64_t bytes) {
  if (bytes <= held_) return true;
  if (!host_->HoldBody(bytes - held_)) return false;
  held_ = bytes;
  return true;
}

}  // namespace meshgate::server
