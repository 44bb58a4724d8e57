#include "tests/bench/load/socket_channel.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace meshgate::bench {

SocketChannel::SocketChannel(Loop* loop, int fd, ChannelListener* listener, SSL* tls)
    : loop_(loop), fd_(fd), listener_(listener), tls_(tls) {
  loop_->Add(fd_, this);
}

SocketChannel::~SocketChannel() {
  loop_->Remove(fd_);
  SSL_free(tls_);
  close(fd_);
}

void SocketChannel::Fail(const std::string& what) {
  if (failed_) return;
  failed_ = true;
  loop_->Remove(fd_);
  listener_->OnFailure(what);
}

ssize_t SocketChannel::Send() {
  if (tls_ == nullptr) return send(fd_, output_.data(), output_.size(), MSG_NOSIGNAL);
  const int sent = SSL_write(tls_, output_.data(), static_cast<int>(output_.size()));
  if (sent > 0) return sent;
  errno = SSL_get_error(tls_, sent) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}

ssize_t SocketChannel::Receive(char* to, size_t size) {
  if (tls_ == nullptr) return recv(fd_, to, size, 0);
  // A record at a time.
  size_t all = 0;
  while (all < size) {
    const int got = SSL_read(tls_, to + all, static_cast<int>(size - all));
    if (got > 0) {
      all += static_cast<size_t>(got);
      continue;
    }
    if (all > 0) break;
    if (SSL_get_error(tls_, got) != SSL_ERROR_WANT_READ) return 0;
    errno = EAGAIN;
    return -1;
  }
  return static_cast<ssize_t>(all);
}

bool SocketChannel::HasMore() const { return tls_ != nullptr && SSL_pending(tls_) > 0; }

void SocketChannel::Flush() {
  if (failed_) return;
  while (!output_.empty()) {
    const ssize_t sent = Send();
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
