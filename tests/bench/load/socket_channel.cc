#include "tests/bench/load/socket_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace meshgate::bench {

SocketChannel::SocketChannel(Loop* loop, int fd, ChannelListener* listener)
    : loop_(loop), fd_(fd), listener_(listener) {
  loop_->Add(fd_, this);
}

SocketChannel::~SocketChannel() {
  loop_->Remove(fd_);
  close(fd_);
}

void SocketChannel::Fail(const std::string& what) {
  if (failed_) return;
  failed_ = true;
  loop_->Remove(fd_);
  listener_->OnFailure(what);
}

void SocketChannel::Flush() {
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
