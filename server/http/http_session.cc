#include "server/http/http_session.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "server/http/error.h"
#include "server/http/exchange.h"
#include "server/http/http_head.h"
#include "server/http/request_reader.h"

namespace meshgate::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// At a time, of a streamed message.
constexpr size_t kWriteBytes = 64 << 10;
// What an answer has at least that counts as much as the bodies of requests.
constexpr size_t kSmallAnswer = 8 << 10;
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

// Everything runs on the loop's thread, but for replies, which are posted to it.
class Session final : public HttpSession, public HttpConnection, public RequestReader {
 public:
  Session(HttpSessionHost* host, HttpLoop* loop, tcp::socket socket)
      : RequestReader(host, std::move(socket)), loop_(loop) {}
  ~Session() override {
    ReturnAll();
    host()->Forget(this);
  }

  void Start() override { Open(); }

  void Cut() override {
    EndExchange(HttpExchange::Why::kGone);
    stream().tcp().close();
  }

  void Stop() override {
    asio::post(stream().get_executor(), [self = Self()] {
      self->set_stopping();
      if (!self->busy_) self->stream().tcp().close();
    });
  }

  // ---- HttpConnection
  consul::ReaderThread* thread() override { return loop_; }

  bool Attach(std::shared_ptr<HttpExchange> exchange) override {
    if (!host()->BeginWait()) return false;
    exchange_ = std::move(exchange);
    // The handler has read it.
    ReturnBody();
    // Nothing else may hold it while it waits.
    self_ = Self();
    WatchPeer();
    return true;
  }

  void Ready() override {
    if (asking_) {
      ask_again_ = true;
    } else if (streaming_ && !writing_) {
      WritePiece();
    }
  }

  void WakeAfter(absl::Duration delay) override {
    if (timer_ == nullptr) timer_ = std::make_unique<asio::steady_timer>(stream().get_executor());
    timer_->expires_after(absl::ToChronoMilliseconds(delay));
    const uint64_t number = ++timer_number_;
    // Leaves the session to whoever else holds it: an exchange, while there is one.
    timer_->async_wait([weak = std::weak_ptr<Session>(Self()), number](error_code) {
      const auto self = weak.lock();
      // One that was due when it was set anew is not cancelled.
      if (self == nullptr || number != self->timer_number_ || self->exchange_ == nullptr) return;
      const auto exchange = self->exchange_;
      exchange->OnTimer();
    });
  }

 private:
  // Answers 503 where the handler lets it go.
  class Reply {
   public:
    explicit Reply(std::shared_ptr<Session> session)
        : session_(std::move(session)), work_(session_->loop_->io().get_executor()) {}
    Reply(Reply&&) = default;
    ~Reply() {
      if (session_ == nullptr) return;
      Send(ErrorResponse(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                                   "the gateway is stopping and has dropped this request; try again")));
    }
    void operator()(HttpResponse response) { Send(std::move(response)); }

   private:
    void Send(HttpResponse response) {
      auto session = std::exchange(session_, nullptr);
      auto& executor = session->stream();
      asio::post(executor.get_executor(),
                 [session, response = std::move(response)]() mutable { session->Answer(std::move(response)); });
    }

    std::shared_ptr<Session> session_;
    // Keeps the thread running: a connection that waits for its handler has nothing else to run.
    asio::executor_work_guard<asio::io_context::executor_type> work_;
  };

  std::shared_ptr<Session> Self() { return std::static_pointer_cast<Session>(shared_from_this()); }

  void OnOpen() override { Read(); }

  // ---- RequestReader
  void OnRequest(HttpRequest request) override {
    keep_alive_ = keep_alive();
    reads_api_ = (request.method == "GET" || request.method == "HEAD") && IsApi(request.path);
    request.connection = this;
    busy_ = true;
    host()->router().Handle(std::move(request), Reply(Self()));
  }

  void OnBadRequest(HttpResponse refusal) override {
    keep_alive_ = false;
    linger_ = true;
    Write(std::move(refusal));
  }

  void OnNoRequest() override { End(); }

  // ---- Responses.
  void Answer(HttpResponse response) {
    // The peer has gone meanwhile.
    if (gone_) return End();
    // What is not streamed needs its exchange no more.
    if (response.streamed) return StartStream(std::move(response));
    EndExchange(HttpExchange::Why::kDone);
    const size_t size = response.body.size();
    // What was done has to be said, and probes are not callers.
    if (size > kSmallAnswer && !host()->HoldAnswer(size, /*anyway=*/!reads_api_))
      return WriteTooMuch(std::move(response));
    if (size > kSmallAnswer) held_answer_ = size;
    Write(std::move(response));
  }

  // In place of an answer, with the headers that those around the handler have put there.
  void WriteTooMuch(HttpResponse response) {
    HttpResponse refused = TooMuchAtOnce();
    for (auto& [name, value] : response.headers) {
      if (name != "Content-Encoding" && name != "ETag") refused.headers.emplace_back(std::move(name), std::move(value));
    }
    Write(std::move(refused));
  }

  void Write(HttpResponse response) {
    busy_ = true;
    if (stopping() || host()->draining()) keep_alive_ = false;
    response_.emplace(static_cast<http::status>(response.status), 11);
    response_->set(http::field::server, "meshgate");
    if (!response.content_type.empty()) response_->set(http::field::content_type, response.content_type);
    response_->set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) response_->insert(name, value);
    response_->keep_alive(keep_alive_);
    // Taken for granted from HTTP/1.1 on alone.
    if (keep_alive_ && is_http_1_0()) response_->set(http::field::connection, "keep-alive");
    if (response.status != 304 && response.status != 204) response_->content_length(response.body.size());
    if (!is_head()) response_->body() = std::move(response.body);
    stream().tcp().expires_after(absl::ToChronoMilliseconds(host()->options().write_timeout));
    http::async_write(stream(), *response_, [self = Self()](error_code error, size_t) { self->OnWritten(error); });
  }

  void OnWritten(const error_code& error) {
    response_.reset();
    Next(error);
  }

  // ---- Streamed responses.
  void StartStream(HttpResponse response) {
    if (stopping() || host()->draining()) keep_alive_ = false;
    // A client of that age knows the end of a body by the end of the connection.
    if (is_http_1_0()) keep_alive_ = false;
    chunk_ = std::make_shared<const std::string>(StreamHead(response, keep_alive_, !is_http_1_0()));
    streaming_ = !is_head();
    WriteBuffers(std::array<asio::const_buffer, 1>{asio::buffer(*chunk_)}, /*last=*/is_head());
  }

  void WritePiece() {
    HttpExchange::Piece piece;
    asking_ = true;
    do {
      ask_again_ = false;
      const auto exchange = exchange_;
      piece = exchange->Next();
      if (exchange_ == nullptr) break;
    } while (ask_again_ && piece.bytes == nullptr && !piece.last && !piece.cut);
    asking_ = false;
    if (exchange_ != nullptr && piece.cut) {
      EndExchange(HttpExchange::Why::kGone);
      // A reset: for HTTP/1.0 the end of a connection is that of the body.
      error_code ignored;
      stream().tcp().socket().set_option(asio::socket_base::linger(true, 0), ignored);
      return stream().tcp().close();
    }
    if (exchange_ == nullptr || (piece.bytes == nullptr && !piece.last)) return;
    chunk_ = piece.bytes != nullptr ? std::move(piece.bytes) : std::make_shared<const std::string>();
    if (is_http_1_0()) return WriteBuffers(std::array<asio::const_buffer, 1>{asio::buffer(*chunk_)}, piece.last);
    chunk_head_.clear();
    // An empty chunk is the last one.
    if (!chunk_->empty()) absl::StrAppend(&chunk_head_, absl::Hex(chunk_->size()), "\r\n");
    const auto constant = [](std::string_view text) { return asio::const_buffer(text.data(), text.size()); };
    WriteBuffers(std::array<asio::const_buffer, 4>{asio::buffer(chunk_head_), asio::buffer(*chunk_),
                                                   constant(chunk_->empty() ? "" : kLineEnd),
                                                   constant(piece.last ? kLastChunk : "")},
                 piece.last);
  }

  template <typename Buffers>
  void WriteBuffers(const Buffers& buffers, bool last) {
    writing_ = true;
    // A reader has that time for each part of a message: one that is large may take long on its way.
    const auto next_part = [self = Self()](const error_code& error, size_t) -> size_t {
      if (error) return 0;
      self->stream().tcp().expires_after(absl::ToChronoMilliseconds(self->host()->options().stream_write_timeout));
      return kWriteBytes;
    };
    asio::async_write(stream(), buffers, next_part, [self = Self(), last](error_code error, size_t) {
      self->writing_ = false;
      self->chunk_.reset();
      if (error) {
        self->EndExchange(error == beast::error::timeout ? HttpExchange::Why::kStalled : HttpExchange::Why::kGone);
        return self->End();
      }
      if (last) {
        self->EndExchange(HttpExchange::Why::kDone);
        return self->Next(error);
      }
      if (self->gone_) return self->End();
      self->WritePiece();
    });
  }

  void EndExchange(HttpExchange::Why why) {
    streaming_ = false;
    ++timer_number_;
    if (timer_ != nullptr) timer_->cancel();
    const auto exchange = std::exchange(exchange_, nullptr);
    const auto self = std::exchange(self_, nullptr);
    if (exchange == nullptr) return;
    host()->EndWait();
    exchange->OnClosed(why);
  }

  // Notices that the peer goes. Does not read what it sends: that is the next request.
  void WatchPeer() {
    if (unread().size() > 0) return;
    watching_ = true;
    if (stream().ssl() == nullptr) {
      stream().tcp().socket().async_wait(tcp::socket::wait_read,
                                         [self = Self()](error_code error) { self->OnPeer(error, 0); });
      return;
    }
    // The socket does not tell what is inside.
    stream().async_read_some(unread().prepare(1),
                             [self = Self()](error_code error, size_t bytes) { self->OnPeer(error, bytes); });
  }

  void OnPeer(const error_code& error, size_t bytes) {
    watching_ = false;
    unread().commit(bytes);
    // By ourselves, and whoever closes knows why.
    if (std::exchange(end_next_, false)) return End();
    if (error == asio::error::operation_aborted && !read_next_) return;
    if (std::exchange(read_next_, false)) return Read();
    if (exchange_ == nullptr) return;
    bool gone = static_cast<bool>(error);
    if (!gone && stream().ssl() == nullptr) {
      char byte;
      gone = ::recv(stream().tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
    }
    if (!gone) return;
    gone_ = true;
    const bool streamed = streaming_;
    EndExchange(HttpExchange::Why::kGone);
    // A write in flight fails by itself or is the last; a reply that is due closes.
    if (streamed && !writing_) End();
  }

  // A response has been sent.
  void Next(const error_code& error) {
    busy_ = false;
    ReturnAll();
    if (error || !keep_alive_) return End();
    if (!watching_) return Read();
    read_next_ = true;
    error_code ignored;
    stream().tcp().socket().cancel(ignored);
  }

  void End() {
    busy_ = false;
    // In TLS a goodbye is a read as well, which must not meet that one.
    if (watching_ && stream().ssl() != nullptr && !gone_) {
      end_next_ = true;
      error_code ignored;
      stream().tcp().socket().cancel(ignored);
      return;
    }
    Close(std::exchange(linger_, false), gone_);
  }

  void ReturnAll() {
    ReturnBody();
    host()->ReturnAnswer(std::exchange(held_answer_, 0));
  }

  HttpLoop* const loop_;
  std::optional<http::response<http::string_body>> response_;
  uint64_t held_answer_ = 0;
  // Of the request that is being answered.
  bool reads_api_ = false;
  bool keep_alive_ = false;  // Another may follow.
  bool busy_ = false;        // A request is being handled or its response written.
  bool linger_ = false;      // The peer may still be sending what is not read.

  // ---- While there is an exchange.
  std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<Session> self_;
  std::unique_ptr<asio::steady_timer> timer_;
  uint64_t timer_number_ = 0;
  std::shared_ptr<const std::string> chunk_;
  std::string chunk_head_;
  bool streaming_ = false;  // The head of a streamed response is sent, or on its way.
  bool writing_ = false;
  bool asking_ = false;  // In Next(), which may call Ready().
  bool ask_again_ = false;
  bool watching_ = false;   // WatchPeer() is waiting.
  bool read_next_ = false;  // A request follows when that has ended.
  bool end_next_ = false;   // The connection's end does.
  bool gone_ = false;
};

}  // namespace

std::shared_ptr<HttpSession> HttpSession::Make(HttpSessionHost* host, HttpLoop* loop, tcp::socket socket) {
  return std::make_shared<Session>(host, loop, std::move(socket));
}

}  // namespace meshgate::server
