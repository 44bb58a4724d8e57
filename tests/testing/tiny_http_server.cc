#include "tests/testing/tiny_http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/loopback.h"

namespace meshgate::testing {

std::string TinyHttpServer::Connection::ReadRequest() {
  std::string& bytes = rest_;
  while (true) {
    const size_t head = bytes.find("\r\n\r\n");
    if (head != std::string::npos) {
      size_t length = 0;
      const std::string lower = absl::AsciiStrToLower(bytes.substr(0, head));
      const size_t header = lower.find("\r\ncontent-length:");
      if (header != std::string::npos) length = std::strtoul(lower.c_str() + header + 17, nullptr, 10);
      if (bytes.size() >= head + 4 + length) {
        std::string request = bytes.substr(0, head + 4 + length);
        bytes.erase(0, request.size());
        return request;
      }
    }
    char buffer[4096];
    const ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
    if (n <= 0) return "";
    bytes.append(buffer, static_cast<size_t>(n));
  }
}

bool TinyHttpServer::Connection::Write(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

size_t TinyHttpServer::Connection::WriteUntilHeld(const std::string& bytes, absl::Duration silence) {
  const int buffer = 64 << 10;
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  timeval limit = absl::ToTimeval(silence);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd_, bytes.data() + sent, std::min<size_t>(bytes.size() - sent, 16 << 10), MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += static_cast<size_t>(n);
  }
  limit = {};
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  return sent;
}

void TinyHttpServer::Connection::AwaitClose() {
  char buffer[4096];
  while (recv(fd_, buffer, sizeof(buffer), 0) > 0) {
  }
}

void TinyHttpServer::Connection::ResetOnClose() {
  const linger now{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

TinyHttpServer::TinyHttpServer()
    : TinyHttpServer([this](Connection& connection) {
        std::string request = connection.ReadRequest();
        if (request.empty()) return;
        {
          MutexLock lock(mu_);
          last_request_ = std::move(request);
        }
        connection.Write(
            absl::StrCat("HTTP/1.1 ", status_.load(), " Any\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
      }) {}

TinyHttpServer::TinyHttpServer(Script script) : script_(std::move(script)) {
  listener_ = ListenOnLoopback(0, &port_);
  thread_ = std::thread([this] { Serve(); });
}

TinyHttpServer::~TinyHttpServer() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    if (serving_ >= 0) shutdown(serving_, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::string TinyHttpServer::last_request() {
  MutexLock lock(mu_);
  return last_request_;
}

void TinyHttpServer::Serve() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    {
      MutexLock lock(mu_);
      if (stopping_) {
        close(fd);
        return;
      }
      serving_ = fd;
    }
    ++connections_;
    Connection connection(fd);
    script_(connection);
    MutexLock lock(mu_);
    serving_ = -1;
    close(fd);
  }
}

}  // namespace meshgate::testing
