#include "server/http/http_server.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "server/http/error.h"
#include "server/http/http_stream.h"
#include "server/http/names.h"
#include "server/http/origin_form.h"
#include "server/log.h"
#include "server/tls/failure.h"
#include "server/tls/identity.h"

namespace meshgate::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr absl::Duration kGrace = absl::Seconds(1);

HttpResponse Malformed(int status, std::string_view what) {
  return ErrorResponse(MakeError(absl::StatusCode::kInvalidArgument, kMalformedHttp, what), status);
}

// What to answer to bytes that are not a request; nothing for a peer that has just gone or was too slow.
std::optional<HttpResponse> AnswerTo(const error_code& error) {
  if (error == http::error::header_limit) return Malformed(431, "the headers are larger than this server takes");
  if (error == http::error::body_limit) return Malformed(413, "the body is larger than this server takes");
  const bool parsing = error.category() == make_error_code(http::error::bad_method).category();
  if (!parsing || error == http::error::end_of_stream || error == http::error::partial_message) return std::nullopt;
  return Malformed(400, absl::StrCat("not an HTTP/1.1 request: ", error.message()));
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, const Router* router)
      : options_(options), router_(router), io_(options.threads), acceptor_(asio::make_strand(io_)) {}

  absl::Status Listen();
  void Run();
  void Stop();
  const std::string& address() const { return address_; }

 private:
  class Session;
  friend class Session;

  void Accept();
  void Forget(Session* session);

  const HttpServerOptions options_;
  const Router* const router_;
  std::string address_;

  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<Session*, std::weak_ptr<Session>> sessions_ ABSL_GUARDED_BY(mu_);

  // Behind the table of sessions: destroying it destroys those that were cut, and they sign off there.
  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::vector<std::thread> threads_;
};

// One connection. Everything runs on the strand of its socket, but for replies, which are posted to it.
class HttpServer::Impl::Session final : public std::enable_shared_from_this<Session> {
 public:
  Session(Impl* server, tcp::socket socket)
      : server_(server),
        peer_(PeerName(socket)),
        stream_(std::move(socket), server->options_.tls == nullptr ? nullptr : server->options_.tls->context().get()),
        buffer_(2 * size_t{server->options_.max_header_bytes}) {}
  ~Session() { server_->Forget(this); }

  void Start() {
    if (stream_.ssl() == nullptr) {
      return asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Read(); });
    }
    // Without a place it goes, and the connection with it.
    handshake_ = server_->options_.tls->Admit(peer_);
    if (!handshake_) return;
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->ShakeHands(); });
  }

  // Without the strand: when no thread runs any more.
  void Cut() { stream_.tcp().close(); }

  // Ends the connection after the response on its way, if there is one.
  void Stop() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->stopping_ = true;
      if (!self->busy_) self->stream_.tcp().close();
    });
  }

 private:
  // Answers 503 where the handler lets it go.
  class Reply {
   public:
    explicit Reply(std::shared_ptr<Session> session)
        : session_(std::move(session)), work_(session_->server_->io_.get_executor()) {}
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
      auto& executor = session->stream_;
      asio::post(executor.get_executor(),
                 [session, response = std::move(response)]() mutable { session->Write(std::move(response)); });
    }

    std::shared_ptr<Session> session_;
    // Keeps the threads running: a connection that waits for its handler has nothing else to run.
    asio::executor_work_guard<asio::io_context::executor_type> work_;
  };

  void ShakeHands() {
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(server_->options_.tls->handshake_timeout()));
    stream_.AsyncHandshake([self = shared_from_this()](error_code error) { self->OnHandshake(error); });
  }

  void OnHandshake(const error_code& error) {
    handshake_ = {};
    const std::optional<tls::Failure> failure = stream_.FailureOf(error);
    if (!failure.has_value()) {
      secure_ = true;
      tls_identity_ = tls::IdentityOfPeer(stream_.ssl());
      return Read();
    }
    if (stopping_) return stream_.tcp().close();
    server_->options_.tls->OnFailure(*failure, peer_);
    if (!failure->http) return Close();
    const std::string_view answer = tls::kAnswerToPlainHttp;
    asio::async_write(stream_.tcp(), asio::buffer(answer.data(), answer.size()),
                      [self = shared_from_this()](error_code, size_t) { self->Close(); });
  }

  void Read() {
    if (stopping_) return stream_.tcp().close();
    parser_.emplace();
    parser_->header_limit(server_->options_.max_header_bytes);
    parser_->body_limit(server_->options_.max_body_bytes);
    head_ = false;
    http_1_0_ = false;
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(server_->options_.read_timeout));
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](error_code error, size_t) { self->OnHeader(error); });
  }

  void OnHeader(const error_code& error) {
    if (error) return OnRead(error);
    const auto& message = parser_->get();
    const bool waits = message.version() == 11 && beast::iequals(message[http::field::expect], "100-continue");
    if (!waits || parser_->is_done()) return ReadBody();
    // The client keeps the body back until it knows that it is wanted; its size has been looked at.
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                      [self = shared_from_this()](error_code failed, size_t) {
                        if (failed) return self->Close();
                        self->ReadBody();
                      });
  }

  void ReadBody() {
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) { self->OnRead(error); });
  }

  void OnRead(const error_code& error) {
    if (error) {
      auto answer = AnswerTo(error);
      if (!answer.has_value()) return Close();
      keep_alive_ = false;
      return Write(*std::move(answer));
    }
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive();
    head_ = message.method() == http::verb::head;
    http_1_0_ = message.version() == 10;
    if (message.version() == 11 && message.count(http::field::host) != 1) {
      return Write(Malformed(400, "an HTTP/1.1 request has one Host header"));
    }
    HttpRequest request;
    request.method = std::string(message.method_string());
    const std::string target = OriginForm(std::string(message.target()));
    const size_t question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string::npos) request.query = target.substr(question + 1);
    for (const auto& field : message) {
      request.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())), std::string(field.value()));
    }
    request.body = std::move(parser_->get().body());
    request.peer = peer_;
    request.tls_identity = tls_identity_;
    busy_ = true;
    stream_.tcp().expires_never();
    server_->router_->Handle(request, Reply(shared_from_this()));
  }

  void Write(HttpResponse response) {
    busy_ = true;
    if (stopping_) keep_alive_ = false;
    response_.emplace(static_cast<http::status>(response.status), 11);
    response_->set(http::field::server, "meshgate");
    response_->set(http::field::content_type, response.content_type);
    response_->set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) response_->set(name, value);
    response_->keep_alive(keep_alive_);
    // Taken for granted from HTTP/1.1 on alone.
    if (keep_alive_ && http_1_0_) response_->set(http::field::connection, "keep-alive");
    response_->content_length(response.body.size());
    if (!head_) response_->body() = std::move(response.body);
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(server_->options_.write_timeout));
    http::async_write(stream_, *response_,
                      [self = shared_from_this()](error_code error, size_t) { self->OnWritten(error); });
  }

  void OnWritten(const error_code& error) {
    busy_ = false;
    if (error || !keep_alive_) return Close();
    Read();
  }

  // Says that nothing follows; what the peer still sends is dropped with the socket.
  void Close() {
    if (!std::exchange(secure_, false)) return CloseSocket();
    stream_.tcp().expires_after(absl::ToChronoMilliseconds(kGrace));
    stream_.AsyncShutdown([self = shared_from_this()](error_code) { self->CloseSocket(); });
  }

  void CloseSocket() {
    error_code ignored;
    stream_.tcp().socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.tcp().close();
  }

  Impl* const server_;
  const std::string peer_;
  std::string tls_identity_;
  tls::HandshakeBudget::Place handshake_;
  HttpStream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  bool keep_alive_ = false;
  bool head_ = false;
  bool http_1_0_ = false;
  bool busy_ = false;  // A request is being handled or its response written.
  bool stopping_ = false;
  bool secure_ = false;  // TLS is spoken.
};

absl::Status HttpServer::Impl::Listen() {
  const auto failed = [this](const error_code& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for HTTP on ", options_.listen, ": ", error.message(), " (--http_listen)"));
  };
  const size_t colon = options_.listen.rfind(':');
  std::string host = options_.listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  error_code error;
  tcp::resolver resolver(io_);
  const auto found = resolver.resolve(host, options_.listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return failed(error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (error) return failed(error);
  // A port whose last connections are still in TIME_WAIT can be taken; one that is listened on cannot.
  acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error);
  address_ = EndpointName(acceptor_.local_endpoint());
  return absl::OkStatus();
}

void HttpServer::Impl::Run() {
  asio::post(acceptor_.get_executor(), [this] { Accept(); });
  MutexLock lock(mu_);
  running_ = options_.threads;
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] {
      io_.run();
      MutexLock lock(mu_);
      --running_;
      changed_.NotifyAll();
    });
    pthread_setname_np(threads_.back().native_handle(), absl::StrCat("http", i).c_str());
  }
}

void HttpServer::Impl::Accept() {
  acceptor_.async_accept(asio::make_strand(io_), [this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) {
      // Most likely out of file descriptors: trying again at once would only burn CPU.
      Log(LogLevel::kWarn, absl::StrCat("http: accept failed: ", error.message()));
      auto pause = std::make_shared<asio::steady_timer>(acceptor_.get_executor(), std::chrono::milliseconds(100));
      pause->async_wait([this, pause](error_code) {
        if (acceptor_.is_open()) Accept();
      });
      return;
    }
    std::shared_ptr<Session> session;
    {
      auto made = std::make_shared<Session>(this, std::move(socket));
      MutexLock lock(mu_);
      if (!stopping_ && sessions_.size() < static_cast<size_t>(options_.max_connections)) {
        session = made;
        sessions_.emplace(session.get(), session);
      }
    }
    if (session != nullptr) session->Start();
    Accept();
  });
}

void HttpServer::Impl::Forget(Session* session) {
  MutexLock lock(mu_);
  sessions_.erase(session);
}

void HttpServer::Impl::Stop() {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    stopping_ = true;
    for (const auto& [key, weak] : sessions_) {
      if (auto session = weak.lock()) sessions.push_back(std::move(session));
    }
  }
  asio::post(acceptor_.get_executor(), [this] { acceptor_.close(); });
  for (const auto& session : sessions) session->Stop();
  {
    // With the port and every connection closed nothing is left to run and the threads end by themselves.
    const absl::Time until = absl::Now() + kGrace;
    MutexLock lock(mu_);
    while (running_ > 0 && absl::Now() < until) changed_.WaitUntil(mu_, until);
  }
  io_.stop();
  for (std::thread& t : threads_) t.join();
  for (const auto& session : sessions) session->Cut();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }
const std::string& HttpServer::address() const { return impl_->address(); }
void HttpServer::Stop() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options, const Router* router) {
  auto impl = std::make_unique<Impl>(options, router);
  if (absl::Status status = impl->Listen(); !status.ok()) return status;
  impl->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

}  // namespace meshgate::server
