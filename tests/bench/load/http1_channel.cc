#include "tests/bench/load/http1_channel.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace meshgate::bench {

Http1Channel::Http1Channel(Loop* loop, int fd, bool watch, ChannelListener* listener)
    : SocketChannel(loop, fd, listener), watch_(watch) {}

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

}  // namespace meshgate::bench
