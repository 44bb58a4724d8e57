#include "tests/testing/tcp_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <list>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/loopback.h"

namespace meshgate::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Mode = TcpProxy::Mode;

constexpr auto kDelay = std::chrono::milliseconds(500);
constexpr auto kDripEvery = std::chrono::milliseconds(10);
constexpr size_t kDrip = 16;
// What one side may be ahead of the other.
constexpr size_t kAhead = 1 << 20;

// With a reset instead of an orderly end.
void Break(int fd) {
  const linger abrupt{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  close(fd);
}

// Half of what is behind the head of an answer, or of what there is.
size_t MiddleOfBody(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  const size_t body = head == std::string::npos ? 0 : head + 4;
  return body + (answer.size() - body) / 2;
}

std::string OwnAnswer(const std::string& type, const std::string& body) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Type: ", type, "\r\nContent-Length: ", body.size(),
                      "\r\nConnection: close\r\n\r\n", body);
}

// One direction: bytes that were read and are not written yet, each with the time before which they are not.
struct Pipe {
  struct Piece {
    std::string bytes;
    Clock::time_point due;
  };
  std::deque<Piece> pieces;
  size_t held = 0;
  bool ended = false;     // nothing more will be read
  bool told_end = false;  // and the other side knows
  Clock::time_point next_drip{};

  void Push(std::string bytes, Clock::time_point due) {
    held += bytes.size();
    pieces.push_back({std::move(bytes), due});
  }
};

struct Connection {
  int client = -1;
  int server = -1;
  Pipe up;
  Pipe down;
  bool close_when_sent = false;
  bool muted = false;  // nothing more is passed down
};

}  // namespace

class TcpProxy::Loop {
 public:
  Loop(TcpProxy* proxy, int listener, uint16_t upstream_port)
      : proxy_(*proxy), listener_(listener), upstream_port_(upstream_port) {}
  ~Loop() {
    BreakAll();
    close(listener_);
  }

  void Run() {
    while (!proxy_.stopping_) {
      BreakAllIfAsked();
      Wait();
    }
  }

 private:
  void Wait() {
    const auto now = Clock::now();
    auto next = now + std::chrono::seconds(1);
    std::vector<pollfd> fds = {{proxy_.wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (Connection& connection : connections_) {
      fds.push_back({connection.client, Events(connection.up, connection.down, now, next, false), 0});
      fds.push_back({connection.server, Events(connection.down, connection.up, now, next, true), 0});
    }
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next - now) + std::chrono::milliseconds(1);
    poll(fds.data(), fds.size(), static_cast<int>(wait.count()));
    uint64_t count;
    if (fds[0].revents != 0 && read(proxy_.wake_, &count, sizeof count) < 0) abort();
    size_t i = 2;
    for (auto it = connections_.begin(); it != connections_.end(); i += 2) {
      if (Serve(*it, fds[i].revents, fds[i + 1].revents)) {
        ++it;
      } else {
        Drop(*it);
        it = connections_.erase(it);
      }
    }
    if (fds[1].revents != 0) Accept();
  }

  // What to wait for at a socket that `in` is read from and `out` is written to. Moves `next` to when to look again.
  short Events(const Pipe& in, const Pipe& out, Clock::time_point now, Clock::time_point& next, bool is_server) {
    short events = 0;
    if (!in.ended && in.held < kAhead) events |= POLLIN;
    if (!out.pieces.empty()) {
      auto due = out.pieces.front().due;
      if (!is_server && proxy_.mode_ == Mode::kDrip) due = std::max(due, out.next_drip);
      if (proxy_.mode_ == Mode::kPass) due = now;
      if (due <= now) {
        events |= POLLOUT;
      } else {
        next = std::min(next, due);
      }
    }
    return events;
  }

  void Accept() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    ++proxy_.accepted_;
    if (proxy_.mode_ == Mode::kRefuse) {
      Break(client);
      return;
    }
    Connection connection;
    connection.client = client;
    connection.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in upstream = Loopback(upstream_port_);
    if (connect(connection.server, reinterpret_cast<const sockaddr*>(&upstream), sizeof upstream) != 0) {
      close(connection.server);
      Break(client);
      return;
    }
    fcntl(connection.server, F_SETFL, O_NONBLOCK);
    connections_.push_back(std::move(connection));
  }

  // False: the connection is over.
  bool Serve(Connection& connection, short client_events, short server_events) {
    if (((client_events | server_events) & (POLLERR | POLLNVAL)) != 0) return false;
    if ((client_events & (POLLIN | POLLHUP)) != 0 && !ReadClient(connection)) return false;
    if ((server_events & (POLLIN | POLLHUP)) != 0 && !ReadServer(connection)) return false;
    if (!Send(connection.up, connection.server, false)) return false;
    if (!Send(connection.down, connection.client, proxy_.mode_ == Mode::kDrip)) return false;
    if (connection.close_when_sent && connection.down.pieces.empty()) return false;
    return !(connection.up.told_end && connection.down.told_end);
  }

  // Returns what there is; sets `ended` at the end, and `broken` for worse.
  static std::string ReadSome(int fd, Pipe& pipe, bool& broken) {
    char chunk[65536];
    const ssize_t got = read(fd, chunk, sizeof chunk);
    if (got > 0) return std::string(chunk, static_cast<size_t>(got));
    if (got == 0) {
      pipe.ended = true;
    } else if (errno != EAGAIN && errno != EINTR) {
      broken = true;
    }
    return "";
  }

  bool ReadClient(Connection& connection) {
    bool broken = false;
    std::string bytes = ReadSome(connection.client, connection.up, broken);
    if (broken) return false;
    if (bytes.empty()) return true;
    switch (proxy_.mode_) {
      case Mode::kHtml:
      case Mode::kEmptyJson:
        AnswerInstead(connection);
        return true;
      case Mode::kSilent:
        return true;
      case Mode::kRefuse:
        return false;
      default:
        connection.up.Push(std::move(bytes), Clock::now());
        return true;
    }
  }

  bool ReadServer(Connection& connection) {
    bool broken = false;
    std::string bytes = ReadSome(connection.server, connection.down, broken);
    if (broken) return false;
    if (proxy_.recording_) {
      MutexLock lock(proxy_.mu_);
      proxy_.recorded_ += bytes;
    }
    if (bytes.empty() || connection.muted) return true;
    auto due = Clock::now();
    switch (proxy_.mode_) {
      case Mode::kHtml:
      case Mode::kEmptyJson:
        AnswerInstead(connection);
        return true;
      case Mode::kSilent:
        return true;
      case Mode::kRefuse:
        return false;
      case Mode::kCutBody:
        bytes.resize(MiddleOfBody(bytes));
        connection.close_when_sent = true;
        connection.muted = true;
        break;
      case Mode::kHalfClose:
        bytes.resize(MiddleOfBody(bytes));
        connection.muted = true;
        connection.down.ended = true;
        break;
      case Mode::kDelay:
        due += kDelay;
        break;
      default:
        break;
    }
    connection.down.Push(std::move(bytes), due);
    return true;
  }

  void AnswerInstead(Connection& connection) {
    if (connection.muted) return;
    connection.muted = true;
    connection.close_when_sent = true;
    connection.down.Push(proxy_.mode_ == Mode::kHtml
                             ? OwnAnswer("text/html", "<html><body><h1>It works!</h1></body></html>")
                             : OwnAnswer("application/json", "[]"),
                         Clock::now());
  }

  // Writes what is due. False: the connection is over.
  bool Send(Pipe& pipe, int fd, bool drip) {
    const auto now = Clock::now();
    while (!pipe.pieces.empty()) {
      Pipe::Piece& piece = pipe.pieces.front();
      if (proxy_.mode_ != Mode::kPass && (piece.due > now || (drip && pipe.next_drip > now))) return true;
      const size_t size = drip ? std::min(kDrip, piece.bytes.size()) : piece.bytes.size();
      const ssize_t sent = send(fd, piece.bytes.data(), size, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      pipe.held -= static_cast<size_t>(sent);
      pipe.next_drip = now + kDripEvery;
      if (static_cast<size_t>(sent) < piece.bytes.size()) {
        piece.bytes.erase(0, static_cast<size_t>(sent));
        if (!drip) return true;
      } else {
        pipe.pieces.pop_front();
      }
    }
    if (pipe.ended && !pipe.told_end) {
      shutdown(fd, SHUT_WR);
      pipe.told_end = true;
    }
    return true;
  }

  // In the middle of something it is a reset for both sides.
  static void Drop(Connection& connection) {
    const bool orderly = connection.close_when_sent || (connection.up.told_end && connection.down.told_end);
    if (orderly) {
      close(connection.client);
    } else {
      Break(connection.client);
    }
    Break(connection.server);
  }

  void BreakAllIfAsked() {
    MutexLock lock(proxy_.mu_);
    if (!proxy_.break_all_) return;
    BreakAll();
    proxy_.break_all_ = false;
    proxy_.broken_.NotifyAll();
  }

  void BreakAll() {
    for (Connection& connection : connections_) {
      Break(connection.client);
      Break(connection.server);
    }
    connections_.clear();
  }

  TcpProxy& proxy_;
  const int listener_;
  const uint16_t upstream_port_;
  std::list<Connection> connections_;
};

TcpProxy::TcpProxy(uint16_t upstream_port) : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  const int listener = ListenOnLoopback(0, &port_);
  fcntl(listener, F_SETFL, O_NONBLOCK);
  loop_ = std::make_unique<Loop>(this, listener, upstream_port);
  thread_ = std::thread([this] { loop_->Run(); });
}

TcpProxy::~TcpProxy() {
  stopping_ = true;
  Wake();
  thread_.join();
  loop_.reset();
  close(wake_);
}

std::string TcpProxy::url() const { return absl::StrCat("http://127.0.0.1:", port_); }

void TcpProxy::SetMode(Mode mode) {
  mode_ = mode;
  Wake();
}

void TcpProxy::BreakAll() {
  MutexLock lock(mu_);
  break_all_ = true;
  Wake();
  while (break_all_) broken_.Wait(mu_);
}

std::string TcpProxy::recorded() {
  MutexLock lock(mu_);
  return recorded_;
}

void TcpProxy::Wake() {
  const uint64_t one = 1;
  if (write(wake_, &one, sizeof one) < 0) abort();
}

}  // namespace meshgate::testing
