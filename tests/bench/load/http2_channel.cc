#include "tests/bench/load/http2_channel.h"

#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshgate::bench {

using http2::FrameHeader;

Http2Channel::Http2Channel(Loop* loop, int fd, const RequestHeaders* headers, bool half_close,
                           ChannelListener* listener, SSL* tls)
    : SocketChannel(loop, fd, listener, tls), headers_(headers), half_close_(half_close) {
  output_ = http2::kPreface;
  std::string settings;
  http2::AppendSetting(http2::kEnablePush, 0, &settings);
  http2::AppendSetting(http2::kInitialWindowSize, http2::kMaxWindow, &settings);
  http2::AppendFrame(http2::kSettings, 0, 0, settings, &output_);
  http2::AppendWindowUpdate(0, http2::kMaxWindow - http2::kDefaultWindow, &output_);
}

void Http2Channel::Call(int call, std::string_view request) {
  const uint32_t id = next_stream_;
  next_stream_ += 2;
  streams_[id].call = call;
  http2::AppendFrame(http2::kHeaders, http2::kEndHeaders, id, id == 1 ? headers_->first : headers_->later, &output_);
  char header[http2::kFrameHeader];
  http2::WriteFrameHeader({static_cast<uint32_t>(http2::kMessageHeader + request.size()), http2::kData,
                           half_close_ ? http2::kEndStream : uint8_t{0}, id},
                          header);
  output_.append(header, sizeof header);
  http2::AppendMessageHeader(request.size(), &output_);
  output_.append(request);
  if (!in_event_) Flush();
}

void Http2Channel::OnReady(uint32_t epoll_events) {
  if (failed_) return;
  in_event_ = true;
  if (epoll_events & ~uint32_t{EPOLLOUT}) {
    do {
      TakeSome();
    } while (!failed_ && HasMore());
  }
  in_event_ = false;
  Flush();
}

void Http2Channel::TakeSome() {
  std::vector<char>& buffer = loop_->buffer();
  memcpy(buffer.data(), input_.data(), input_.size());
  const ssize_t got = Receive(buffer.data() + input_.size(), buffer.size() - input_.size());
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) Fail("the connection was closed");
    return;
  }
  std::string_view rest(buffer.data(), input_.size() + static_cast<size_t>(got));
  while (rest.size() >= http2::kFrameHeader && !failed_) {
    const FrameHeader header = http2::ReadFrameHeader(rest.data());
    if (rest.size() < http2::kFrameHeader + header.length) break;
    OnFrame(header, rest.substr(http2::kFrameHeader, header.length));
    rest.remove_prefix(http2::kFrameHeader + header.length);
  }
  input_.assign(rest);
}

void Http2Channel::OnFrame(const FrameHeader& header, std::string_view payload) {
  switch (header.type) {
    case http2::kData:
      CountReceived(payload.size());
      if (header.flags & http2::kPadded) {
        const size_t padding = static_cast<uint8_t>(payload[0]);
        payload = payload.substr(1, payload.size() - 1 - padding);
      }
      OnData(header.stream, payload);
      if (header.flags & http2::kEndStream) OnStreamEnd(header.stream);
      break;
    case http2::kHeaders:
      if (header.flags & http2::kEndStream) OnStreamEnd(header.stream);
      break;
    case http2::kSettings:
      if (!(header.flags & http2::kAck)) http2::AppendFrame(http2::kSettings, http2::kAck, 0, {}, &output_);
      break;
    case http2::kPing:
      if (!(header.flags & http2::kAck)) http2::AppendFrame(http2::kPing, http2::kAck, 0, payload, &output_);
      break;
    case http2::kRstStream:
      // After the end of a stream it only says that the server reads no more of the request.
      if (streams_.erase(header.stream) > 0) {
        listener_->OnFailure(absl::StrCat("a stream was reset with error ", http2::ReadU32(payload.data())));
      }
      break;
    case http2::kGoAway:
      Fail(absl::StrCat("GOAWAY with error ", http2::ReadU32(payload.data() + 4), " ", std::string(payload.substr(8))));
      break;
    default:
      break;
  }
}

void Http2Channel::OnData(uint32_t id, std::string_view data) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  const bool joined = !stream.partial.empty();
  if (joined) {
    stream.partial.append(data);
    data = stream.partial;
  }
  while (data.size() >= http2::kMessageHeader) {
    const size_t size = http2::ReadU32(data.data() + 1);
    if (data.size() - http2::kMessageHeader < size) break;
    stream.answered = true;
    listener_->OnMessage(stream.call, data.substr(http2::kMessageHeader, size));
    data.remove_prefix(http2::kMessageHeader + size);
  }
  if (joined) {
    stream.partial.erase(0, stream.partial.size() - data.size());
  } else {
    stream.partial.assign(data);
  }
}

void Http2Channel::OnStreamEnd(uint32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const int call = found->second.call;
  const bool answered = found->second.answered;
  streams_.erase(found);
  listener_->OnEnd(call, answered);
}

// A stream's own window is never used up: it would take 2 GiB. The connection's is, by many short calls.
void Http2Channel::CountReceived(size_t bytes) {
  received_ += static_cast<uint32_t>(bytes);
  if (received_ < http2::kMaxWindow / 2) return;
  http2::AppendWindowUpdate(0, received_, &output_);
  received_ = 0;
}

}  // namespace meshgate::bench
