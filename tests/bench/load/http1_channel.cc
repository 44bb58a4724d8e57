#include "tests/bench/load/http1_channel.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace meshgate::bench {

Http1Channel::Http1Channel(Loop* loop, int fd, bool watch, ChannelListener* listener)
    : loop_(loop), fd_(fd), watch_(watch), listener_(listener) {
  loop_->Add(fd_, this);
}

Http1Channel::~Http1Channel() {
  loop_->Remove(fd_);
  close(fd_);
}

void Http1Channel::Call(int call, std::string_view request) {
  call_ = call;
  if (watch_) {
    target_ = request;
    Query();
  } else {
    output_.append(request);
  }
  if (!in_event_) Flush();
}

void Http1Channel::Query() {
  absl::StrAppend(&output_, "GET ", target_, "&index=", parser_.consul_index(),
                  "&wait=10m HTTP/1.1\r\nHost: bench\r\n\r\n");
}

void Http1Channel::OnReady(uint32_t epoll_events) {
  if (failed_) return;
  in_event_ = true;
  if (epoll_events & ~uint32_t{EPOLLOUT}) {
    std::vector<char>& buffer = loop_->buffer();
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      if (got == 0 || (errno != EAGAIN && errno != EINTR)) Fail("the connection was closed");
    } else {
      parser_.Add({buffer.data(), static_cast<size_t>(got)});
      while (!failed_ && parser_.Next()) OnAnswer();
      if (parser_.broken()) Fail("not an answer of HTTP/1.1");
    }
  }
  in_event_ = false;
  Flush();
}

void Http1Channel::OnAnswer() {
  if (parser_.code() != 200) {
    return Fail(absl::StrCat("HTTP ", parser_.code(), ": ", parser_.body()));
  }
  listener_->OnMessage(call_, parser_.body());
  if (watch_) {
    Query();
  } else {
    listener_->OnEnd(call_, true);
  }
}

void Http1Channel::Fail(const std::string& what) {
  if (failed_) return;
  failed_ = true;
  loop_->Remove(fd_);
  listener_->OnFailure(what);
}

void Http1Channel::Flush() {
  if (failed_) return;
  while (!output_.empty()) {
    const ssize_t sent = send(fd_, output_.data(), output_.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Fail(absl::StrCat("cannot send: ", strerror(errno)));
      break;
    }
    output_.erase(0, static_cast<size_t>(sent));
  }
  const bool wants = !output_.empty();
  if (wants != wants_write_) loop_->WantWrite(fd_, this, wants_write_ = wants);
}

}  // namespace meshgate::bench
