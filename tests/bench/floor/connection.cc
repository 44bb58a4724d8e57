#include "tests/bench/floor/connection.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/bench/load/request_headers.h"

namespace meshgate::bench {
namespace {

using http2::FrameHeader;

// As our own client sends them: there is nothing to decode.
const std::string& HeadersOf(const char* method) {
  static const RequestHeaders get = MakeRequestHeaders("/meshgate.v1.ConfigService/GetConfig");
  static const RequestHeaders put = MakeRequestHeaders("/meshgate.v1.ConfigService/PutConfig");
  return method[0] == 'G' ? get.first : put.first;
}

// HPACK without a table: ":status: 200" is its 8th static entry, "content-type" its 31st.
constexpr std::string_view kAnswerHeaders(
    "\x88\x0f\x10\x10"
    "application/grpc",
    20);
constexpr std::string_view kTrailers(
    "\x00\x0b"
    "grpc-status\x01"
    "0",
    15);
// PutConfigResponse without its entry.
constexpr std::string_view kEmptyMessage("\0\0\0\0\0", 5);

}  // namespace

FloorConnection::FloorConnection(int fd) : fd_(fd) { http2::AppendFrame(http2::kSettings, 0, 0, {}, &output_); }

FloorConnection::~FloorConnection() { close(fd_); }

bool FloorConnection::OnReadable(const SharedFloorState& state, std::vector<char>* buffer,
                                 const std::function<void(std::string_view)>& on_put) {
  memcpy(buffer->data(), input_.data(), input_.size());
  const ssize_t got = recv(fd_, buffer->data() + input_.size(), buffer->size() - input_.size(), 0);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  std::string_view rest(buffer->data(), input_.size() + static_cast<size_t>(got));
  if (rest.substr(0, http2::kPreface.size()) == http2::kPreface) rest.remove_prefix(http2::kPreface.size());
  while (rest.size() >= http2::kFrameHeader) {
    const FrameHeader header = http2::ReadFrameHeader(rest.data());
    if (rest.size() < http2::kFrameHeader + header.length) break;
    OnFrame(header, rest.substr(http2::kFrameHeader, header.length), *state, on_put);
    rest.remove_prefix(http2::kFrameHeader + header.length);
  }
  input_.assign(rest);
  return true;
}

void FloorConnection::OnFrame(const FrameHeader& header, std::string_view payload, const FloorState& state,
                              const std::function<void(std::string_view)>& on_put) {
  if (header.type == http2::kSettings && !(header.flags & http2::kAck)) {
    http2::AppendFrame(http2::kSettings, http2::kAck, 0, {}, &output_);
  }
  if (header.type == http2::kHeaders && method_ == Method::kUnknown) {
    method_ = payload == HeadersOf("Get") ? Method::kGet : payload == HeadersOf("Put") ? Method::kPut : Method::kWatch;
  }
  if (header.type != http2::kData || !(header.flags & http2::kEndStream)) return;
  http2::AppendFrame(http2::kHeaders, http2::kEndHeaders, header.stream, kAnswerHeaders, &output_);
  if (method_ == Method::kWatch) {
    http2::AppendFrame(http2::kData, 0, header.stream, state.change, &output_);
    watches_.push_back(header.stream);
    return;
  }
  if (method_ == Method::kPut) on_put(payload.substr(http2::kMessageHeader));
  http2::AppendFrame(http2::kData, 0, header.stream, method_ == Method::kGet ? state.get : kEmptyMessage, &output_);
  http2::AppendFrame(http2::kHeaders, http2::kEndHeaders | http2::kEndStream, header.stream, kTrailers, &output_);
}

void FloorConnection::Broadcast(const FloorState& state) {
  char headers[IOV_MAX / 2][http2::kFrameHeader];
  iovec parts[IOV_MAX];
  for (size_t begin = 0; begin < watches_.size(); begin += IOV_MAX / 2) {
    const size_t count = std::min<size_t>(watches_.size() - begin, IOV_MAX / 2);
    for (size_t i = 0; i < count; ++i) {
      http2::WriteFrameHeader({static_cast<uint32_t>(state.change.size()), http2::kData, 0, watches_[begin + i]},
                              headers[i]);
      parts[2 * i] = {headers[i], http2::kFrameHeader};
      parts[2 * i + 1] = {const_cast<char*>(state.change.data()), state.change.size()};
    }
    ssize_t sent = output_.empty() ? writev(fd_, parts, static_cast<int>(2 * count)) : 0;
    if (sent < 0) sent = 0;
    // The rest waits for room.
    auto skip = static_cast<size_t>(sent);
    for (size_t i = 0; i < 2 * count; ++i) {
      const size_t skipped = std::min(skip, parts[i].iov_len);
      output_.append(static_cast<const char*>(parts[i].iov_base) + skipped, parts[i].iov_len - skipped);
      skip -= skipped;
    }
  }
}

bool FloorConnection::Flush() {
  while (!output_.empty()) {
    const ssize_t sent = send(fd_, output_.data(), output_.size(), MSG_NOSIGNAL);
    // A connection that is broken is found so when it is read.
    if (sent <= 0) return errno != EAGAIN;
    output_.erase(0, static_cast<size_t>(sent));
  }
  // It is rarely needed; thousands of idle connections should not each hold what their first answer took.
  output_.shrink_to_fit();
  return true;
}

}  // namespace meshgate::bench
