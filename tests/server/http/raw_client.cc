#include "tests/server/http/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>

namespace meshgate::testing {

RawClient::RawClient(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  fd_ = socket(AF_INET, SOCK_STREAM, 0);
  const timeval bound = {30, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    close(fd_);
    fd_ = -1;
  }
}

RawClient::~RawClient() {
  if (fd_ >= 0) close(fd_);
}

bool RawClient::Send(const std::string& bytes) {
  return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool RawClient::Fill() {
  char bytes[4096];
  const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

RawClient::Response RawClient::Receive(bool with_body) {
  Response response;
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) return response;
  }
  response.head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  size_t length = 0;
  if (const size_t at = response.head.find("Content-Length: "); at != std::string::npos) {
    length = std::strtoul(response.head.c_str() + at + 16, nullptr, 10);
  }
  while (with_body && buffer_.size() < length) {
    if (!Fill()) return response;
  }
  if (with_body) {
    response.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
  }
  response.status = std::atoi(response.head.c_str() + response.head.find(' '));
  return response;
}

std::string RawClient::ReceiveUntil(const std::string& text) {
  size_t at;
  while ((at = buffer_.find(text)) == std::string::npos && Fill()) {
  }
  return ReceiveBytes(at == std::string::npos ? buffer_.size() : at + text.size());
}

std::string RawClient::ReceiveBytes(size_t bytes) {
  while (buffer_.size() < bytes && Fill()) {
  }
  const std::string out = buffer_.substr(0, bytes);
  buffer_.erase(0, bytes);
  return out;
}

bool RawClient::WaitForClose() {
  if (!buffer_.empty()) return false;
  char byte;
  const ssize_t n = recv(fd_, &byte, 1, 0);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

}  // namespace meshgate::testing
