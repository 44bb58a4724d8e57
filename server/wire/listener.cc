#include "server/wire/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/local/stream_protocol.hpp"
#include "server/log.h"

namespace meshgate::server::wire {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr char kUnix[] = "unix:";

// Without a descriptor to be had the next try fails, too.
constexpr std::chrono::milliseconds kAcceptRetry{100};

// Taken at a time, before what else there is to do has its turn.
constexpr int kAcceptsPerTurn = 16;

std::string Written(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  if (endpoint.address().is_v6()) return absl::StrCat("[", address, "]:", endpoint.port());
  return absl::StrCat(address, ":", endpoint.port());
}

std::string PeerOf(const sockaddr_storage& address, socklen_t size) {
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return kUnix;
  tcp::endpoint endpoint;
  endpoint.resize(size);
  memcpy(endpoint.data(), &address, size);
  return absl::StrCat(endpoint.address().is_v6() ? "ipv6:" : "ipv4:", Written(endpoint));
}

// Whether accept(2) has failed for what was wrong with one connection alone, as that page has it.
bool IsOfOneConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

void SetUpTcp(int fd, absl::Duration user_timeout) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto millis = static_cast<unsigned int>(absl::ToInt64Milliseconds(user_timeout));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &millis, sizeof millis);
}

absl::Status CannotListen(const std::string& address, const error_code& error) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen for gRPC on ", address, ": ", error.message(), " (--grpc_listen)"));
}

}  // namespace

Listener::Listener(EventLoop* loop, absl::Duration user_timeout, OnAccept on_accept)
    : loop_(loop),
      user_timeout_(user_timeout),
      on_accept_(std::move(on_accept)),
      acceptor_(loop->io()),
      retry_(loop->io()) {}

absl::Status Listener::Open(const std::string& address) {
  if (absl::StartsWith(address, kUnix)) return OpenUnix(address.substr(sizeof(kUnix) - 1));
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' has no port (--grpc_listen)"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return OpenTcp(host, address.substr(colon + 1));
}

absl::Status Listener::OpenTcp(const std::string& host, const std::string& port) {
  const std::string asked = absl::StrCat(host, ":", port);
  error_code error;
  tcp::resolver resolver(loop_->io());
  const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
  if (error || found.empty()) return CannotListen(asked, error);
  // Of several, such as localhost's two, the first that can be had.
  for (const auto& entry : found) {
    const tcp::endpoint endpoint = entry.endpoint();
    acceptor_.close();
    acceptor_.open(Protocol(endpoint.protocol()), error);
    if (!error) acceptor_.native_non_blocking(true, error);
    if (!error) SetUpTcp(acceptor_.native_handle(), user_timeout_);
    // Not SO_REUSEPORT: two processes on one port would share its connections without anybody noticing.
    if (!error) acceptor_.set_option(boost::asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(Protocol::endpoint(endpoint), error);
    if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
    if (!error) break;
  }
  if (error) return CannotListen(asked, error);
  const auto generic = acceptor_.local_endpoint();
  tcp::endpoint bound;
  bound.resize(generic.size());
  memcpy(bound.data(), generic.data(), generic.size());
  // As it was asked for, but for the port.
  address_ = absl::StrCat(absl::StrContains(host, ":") ? absl::StrCat("[", host, "]") : host, ":", bound.port());
  return absl::OkStatus();
}

absl::Status Listener::OpenUnix(const std::string& path) {
  address_ = kUnix + path;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(address_, " is too long for a Unix socket (--grpc_listen)"));
  }
  // Left behind by a process that was killed.
  struct stat found = {};
  if (stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path.c_str());
  const boost::asio::local::stream_protocol::endpoint endpoint(path);
  error_code error;
  acceptor_.open(Protocol(endpoint.protocol()), error);
  if (!error) acceptor_.native_non_blocking(true, error);
  if (!error) acceptor_.bind(Protocol::endpoint(endpoint), error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (!error) stat(path.c_str(), &bound_);
  return error ? CannotListen(address_, error) : absl::OkStatus();
}

void Listener::Start() { Accept(); }

void Listener::Close() {
  if (!acceptor_.is_open()) return;
  error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  if (!absl::StartsWith(address_, kUnix)) return;
  const char* const path = address_.c_str() + sizeof(kUnix) - 1;
  struct stat now = {};
  if (stat(path, &now) == 0 && now.st_dev == bound_.st_dev && now.st_ino == bound_.st_ino) unlink(path);
}

void Listener::Accept() {
  acceptor_.async_wait(boost::asio::socket_base::wait_read, [self = shared_from_this()](const error_code& error) {
    if (!self->acceptor_.is_open()) return;
    if (!error && self->AcceptSome()) return self->Accept();
    self->retry_.expires_after(kAcceptRetry);
    self->retry_.async_wait([self](const error_code& cancelled) {
      if (!cancelled && self->acceptor_.is_open()) self->Accept();
    });
  });
}

bool Listener::AcceptSome() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage address = {};
    socklen_t size = sizeof address;
    const int fd =
        accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      failing_ = false;
      if (!on_accept_(fd, PeerOf(address, size))) return true;
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
    if (IsOfOneConnection(errno)) continue;
    if (!std::exchange(failing_, true)) {
      const std::string why = error_code(errno, boost::system::system_category()).message();
      Log(LogLevel::kWarn, "cannot take a connection; trying on", {{"address", address_}, {"error", why}});
    }
    return false;
  }
  return true;
}

}  // namespace meshgate::server::wire
