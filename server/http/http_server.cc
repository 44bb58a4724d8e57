#include "server/http/http_server.h"

#include <netinet/tcp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "server/http/http_loop.h"
#include "server/http/http_session.h"
#include "server/http/names.h"
#include "server/http/origin_form.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr absl::Duration kGrace = absl::Seconds(1);
constexpr absl::Duration kVanished = absl::Seconds(10);

}  // namespace

class HttpServer::Impl final : public HttpSessionHost {
 public:
  Impl(const HttpServerOptions& options, const Router* router) : options_(options), router_(router) {
    for (int i = 0; i < options.threads; ++i) loops_.push_back(std::make_unique<HttpLoop>());
    acceptor_.emplace(loops_.front()->io());
  }

  absl::Status Listen();
  void Run();
  void BeginDrain() { draining_ = true; }
  void Stop();
  const std::string& address() const { return address_; }

  // ---- HttpSessionHost
  const HttpServerOptions& options() const override { return options_; }
  const Router& router() const override { return *router_; }
  bool draining() const override { return draining_; }
  bool HoldBody(uint64_t bytes) override;
  void ReturnBody(uint64_t bytes) override { held_ -= bytes; }
  bool HoldAnswer(uint64_t bytes, bool anyway) override;
  void ReturnAnswer(uint64_t bytes) override { held_answers_ -= bytes; }
  bool BeginWait() override;
  void EndWait() override { --waiting_; }
  void Forget(HttpSession* session) override;

 private:
  void Accept();
  void OnRefused();

  const HttpServerOptions options_;
  const Router* const router_;
  std::string address_;
  std::atomic<uint64_t> held_{0};
  std::atomic<uint64_t> held_answers_{0};
  std::atomic<bool> draining_{false};
  std::atomic<int> waiting_{0};

  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<HttpSession*, std::weak_ptr<HttpSession>> sessions_ ABSL_GUARDED_BY(mu_);

  // Behind the table of sessions: destroying them destroys sessions that were cut, and they sign off there.
  std::vector<std::unique_ptr<HttpLoop>> loops_;
  // On the first loop, with all up to the last connections that were refused.
  std::optional<tcp::acceptor> acceptor_;
  size_t next_loop_ = 0;
  int64_t refused_ = 0;
  absl::Time refused_logged_ = absl::InfinitePast();
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> open_;
  std::vector<std::thread> threads_;
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
  tcp::resolver resolver(loops_.front()->io());
  const auto found = resolver.resolve(host, options_.listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return failed(error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_->open(endpoint.protocol(), error);
  if (error) return failed(error);
  // A port whose last connections are still in TIME_WAIT can be taken; one that is listened on cannot.
  acceptor_->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_->bind(endpoint, error);
  if (!error) acceptor_->listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error);
  address_ = EndpointName(acceptor_->local_endpoint());
  return absl::OkStatus();
}

void HttpServer::Impl::Run() {
  asio::post(acceptor_->get_executor(), [this] { Accept(); });
  MutexLock lock(mu_);
  running_ = options_.threads;
  for (const auto& loop : loops_) {
    // Until Stop(): one without a connection has nothing to run.
    open_.push_back(asio::make_work_guard(loop->io()));
    threads_.emplace_back([this, io = &loop->io()] {
      io->run();
      MutexLock lock(mu_);
      --running_;
      changed_.NotifyAll();
    });
    pthread_setname_np(threads_.back().native_handle(), absl::StrCat("http", threads_.size() - 1).c_str());
  }
}

bool HttpServer::Impl::HoldAnswer(uint64_t bytes, bool anyway) {
  if (held_answers_.fetch_add(bytes) + bytes <= options_.max_held_bytes || anyway) return true;
  held_answers_ -= bytes;
  return false;
}

bool HttpServer::Impl::HoldBody(uint64_t bytes) {
  if (held_.fetch_add(bytes) + bytes <= options_.max_held_bytes || bytes == 0) return true;
  held_ -= bytes;
  return false;
}

bool HttpServer::Impl::BeginWait() {
  // One in sixteen connections is for what does not wait, at least one.
  const int most = options_.max_connections - std::max(1, options_.max_connections / 16);
  if (++waiting_ <= most) return true;
  --waiting_;
  return false;
}

void HttpServer::Impl::Accept() {
  HttpLoop* const loop = loops_[next_loop_++ % loops_.size()].get();
  acceptor_->async_accept(loop->io(), [this, loop](error_code error, tcp::socket socket) {
    if (!acceptor_->is_open()) return;
    if (error) {
      // Most likely out of file descriptors: trying again at once would only burn CPU.
      Log(LogLevel::kWarn, absl::StrCat("http: accept failed: ", error.message()));
      auto pause = std::make_shared<asio::steady_timer>(acceptor_->get_executor(), std::chrono::milliseconds(100));
      pause->async_wait([this, pause](error_code) {
        if (acceptor_->is_open()) Accept();
      });
      return;
    }
    // A peer that has vanished acknowledges nothing: a little later than one that is there and does not read is let go.
    const auto timeout = static_cast<int>(absl::ToInt64Milliseconds(options_.stream_write_timeout + kVanished));
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    std::shared_ptr<HttpSession> session;
    {
      auto made = HttpSession::Make(this, loop, std::move(socket));
      MutexLock lock(mu_);
      if (!stopping_ && sessions_.size() < static_cast<size_t>(options_.max_connections)) {
        session = made;
        sessions_.emplace(session.get(), session);
        if (options_.reporter != nullptr) options_.reporter->OnConnections(1);
      }
    }
    if (session != nullptr) {
      session->Start();
    } else {
      OnRefused();
    }
    Accept();
  });
}

void HttpServer::Impl::OnRefused() {
  if (options_.reporter != nullptr) options_.reporter->OnRefused();
  ++refused_;
  const absl::Time now = absl::Now();
  // One line a second, however many there are.
  if (now - refused_logged_ < absl::Seconds(1)) return;
  refused_logged_ = now;
  Log(LogLevel::kWarn, "http: connections are refused: there are as many as may be",
      {{"max_connections", options_.max_connections}, {"refused", std::exchange(refused_, 0)}});
}

void HttpServer::Impl::Forget(HttpSession* session) {
  MutexLock lock(mu_);
  if (sessions_.erase(session) > 0 && options_.reporter != nullptr) options_.reporter->OnConnections(-1);
}

void HttpServer::Impl::Stop() {
  std::vector<std::shared_ptr<HttpSession>> sessions;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    stopping_ = true;
    for (const auto& [key, weak] : sessions_) {
      if (auto session = weak.lock()) sessions.push_back(std::move(session));
    }
  }
  asio::post(acceptor_->get_executor(), [this] { acceptor_->close(); });
  for (auto& open : open_) open.reset();
  for (const auto& session : sessions) session->Stop();
  {
    // With the port and every connection closed nothing is left to run and the threads end by themselves.
    const absl::Time until = absl::Now() + kGrace;
    MutexLock lock(mu_);
    while (running_ > 0 && absl::Now() < until) changed_.WaitUntil(mu_, until);
  }
  for (const auto& loop : loops_) loop->io().stop();
  for (std::thread& t : threads_) t.join();
  for (const auto& session : sessions) session->Cut();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }
const std::string& HttpServer::address() const { return impl_->address(); }
void HttpServer::BeginDrain() { impl_->BeginDrain(); }
void HttpServer::Stop() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options, const Router* router) {
  auto impl = std::make_unique<Impl>(options, router);
  if (absl::Status status = impl->Listen(); !status.ok()) return status;
  impl->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

}  // namespace meshgate::server
