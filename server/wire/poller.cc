#include "server/wire/poller.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "boost/asio/error.hpp"
#include "boost/asio/post.hpp"

namespace meshgate::server::wire {
namespace {

using boost::system::error_code;

// So long sockets have their turn, before what else there is to do.
using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kTurn{250};

error_code LastError() {
  if (errno == EAGAIN) return boost::asio::error::would_block;
  return {errno, boost::system::system_category()};
}

int MakeEpoll() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  // A process that has no descriptors when it starts can do nothing.
  if (fd < 0) std::abort();
  return fd;
}

}  // namespace

Poller::Poller(boost::asio::io_context* io) : io_(io), epoll_(*io, MakeEpoll()) {}

Poller::~Poller() = default;

void Poller::Stop() {
  stopped_ = true;
  again_.clear();
  error_code ignored;
  epoll_.cancel(ignored);
}

bool Poller::Add(PolledSocket* socket) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = socket;
  return epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, socket->fd(), &event) == 0;
}

void Poller::Remove(PolledSocket* socket) {
  for (size_t i = next_; i < count_; ++i) {
    if (events_[i].data.ptr == socket) events_[i].data.ptr = nullptr;
  }
  if (socket->again_ != nullptr && !stopped_) *socket->again_ = nullptr;
  // A process that was forked meanwhile may hold it open, and the kernel would go on.
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, socket->fd(), nullptr);
}

void Poller::Again(PolledSocket* socket) {
  if (stopped_) return;
  again_.push_back(socket);
  socket->again_ = &again_.back();
  if (!std::exchange(again_posted_, true)) boost::asio::post(*io_, [this] { TellAgain(); });
}

void Poller::TellAgain() {
  again_posted_ = false;
  const Clock::time_point begun = Clock::now();
  // One may want to be told again, after the others.
  for (size_t most = again_.size(); most > 0 && !stopped_ && Clock::now() - begun < kTurn; --most) {
    PolledSocket* const socket = again_.front();
    again_.pop_front();
    if (socket == nullptr) continue;
    socket->again_ = nullptr;
    socket->TellReadable();
  }
  if (again_.empty() || std::exchange(again_posted_, true)) return;
  boost::asio::post(*io_, [this] { TellAgain(); });
}

void Poller::Wait() {
  epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
    if (error || stopped_) return;
    const int count = epoll_wait(epoll_.native_handle(), events_.data(), static_cast<int>(events_.size()), 0);
    next_ = 0;
    count_ = static_cast<size_t>(std::max(count, 0));
    Tell();
  });
}

void Poller::Tell() {
  const Clock::time_point begun = Clock::now();
  while (next_ < count_ && !stopped_) {
    const epoll_event& event = events_[next_++];
    if (event.data.ptr != nullptr) static_cast<PolledSocket*>(event.data.ptr)->OnEvents(event.events);
    if (next_ < count_ && Clock::now() - begun >= kTurn) return boost::asio::post(*io_, [this] { Tell(); });
  }
  if (!stopped_) Wait();
}

PolledSocket::PolledSocket(Poller* poller, int fd, Owner* owner)
    : poller_(poller), owner_(owner), fd_(fd), watched_(poller->Add(this)) {}

size_t PolledSocket::Read(char* data, size_t size, error_code* error) {
  ssize_t got;
  do {
    got = recv(fd_, data, size, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    *error = LastError();
    readable_ = false;
    return 0;
  }
  if (got == 0) *error = boost::asio::error::eof;
  // What comes from here on brings an edge.
  if (static_cast<size_t>(got) < size && !reads_short_) readable_ = false;
  return static_cast<size_t>(got);
}

size_t PolledSocket::Write(std::string_view bytes, error_code* error) {
  ssize_t sent;
  do {
    sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<size_t>(sent);
  *error = LastError();
  return 0;
}

void PolledSocket::WaitReadable() {
  wants_read_ = true;
  if (readable_ && again_ == nullptr) poller_->Again(this);
}

void PolledSocket::TellReadable() {
  if (std::exchange(wants_read_, false)) owner_->OnReadable();
}

void PolledSocket::OnEvents(uint32_t events) {
  constexpr uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if ((events & (kEnd | EPOLLPRI)) != 0) reads_short_ = true;
  const bool room = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & (EPOLLIN | EPOLLPRI | kEnd)) != 0) readable_ = true;
  // The owner may go with what it is told: one thing at a time.
  if (room && std::exchange(wants_write_, false)) {
    if (wants_read_) WaitReadable();
    return owner_->OnWritable();
  }
  if (readable_) TellReadable();
}

void PolledSocket::Close() {
  if (fd_ < 0) return;
  poller_->Remove(this);
  close(std::exchange(fd_, -1));
}

}  // namespace meshgate::server::wire
