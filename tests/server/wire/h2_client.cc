#include "tests/server/wire/h2_client.h"

#include <algorithm>
#include <cstring>

namespace meshgate::testing {
namespace {

nghttp2_nv Field(const std::string& name, const std::string& value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string Text(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

}  // namespace

std::string H2Client::Response::Value(const std::map<std::string, std::string>& in, const std::string& name) {
  const auto found = in.find(name);
  return found == in.end() ? "" : found->second;
}

std::vector<std::string> H2Client::Response::messages() const {
  std::vector<std::string> out;
  std::string_view left = data;
  while (!left.empty()) {
    size_t size = 0;
    if (left.size() >= 5) {
      for (size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(left[i]);
    }
    if (left.size() < 5 + size || left.size() < 5) {
      out.push_back("+" + std::to_string(left.size()));
      break;
    }
    out.emplace_back(left.substr(5, size));
    left.remove_prefix(5 + size);
  }
  return out;
}

H2Client::H2Client(uint32_t stream_window) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
        Side& side = static_cast<H2Client*>(user)->streams_[frame->hd.stream_id];
        auto& into = side.blocks == 0 ? side.response.headers : side.response.trailers;
        into[Text(name, name_size)] = Text(value, value_size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& self = *static_cast<H2Client*>(user);
        const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
          Side& side = self.streams_[frame->hd.stream_id];
          side.response.ended |= last;
          if (frame->hd.type == NGHTTP2_HEADERS && side.blocks++ == 0) side.response.trailers_only = last;
        } else if (frame->hd.type == NGHTTP2_PING) {
          ++((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 ? self.pongs_ : self.pings_);
        } else if (frame->hd.type == NGHTTP2_SETTINGS) {
          self.settled_ = true;
        } else if (frame->hd.type == NGHTTP2_GOAWAY) {
          self.go_aways_.push_back({frame->goaway.last_stream_id, frame->goaway.error_code,
                                    Text(frame->goaway.opaque_data, frame->goaway.opaque_data_len)});
        }
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
        static_cast<H2Client*>(user)->streams_[id].response.data += Text(data, size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, int32_t id, uint32_t error, void* user) {
        static_cast<H2Client*>(user)->streams_[id].response.closed = error;
        return 0;
      });
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
  nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
}

H2Client::~H2Client() { nghttp2_session_del(session_); }

int32_t H2Client::Begin(const Headers& headers) {
  std::vector<nghttp2_nv> fields;
  for (const auto& [name, value] : headers) fields.push_back(Field(name, value));
  nghttp2_data_provider provider;
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, int32_t id, uint8_t* out, size_t max, uint32_t* flags,
                              nghttp2_data_source* source, void*) -> ssize_t {
    Side& side = static_cast<H2Client*>(source->ptr)->streams_[id];
    if (side.to_send.empty() && !side.end) return NGHTTP2_ERR_DEFERRED;
    const size_t size = std::min(max, side.to_send.size());
    std::memcpy(out, side.to_send.data(), size);
    side.to_send.erase(0, size);
    if (side.to_send.empty() && side.end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  };
  return nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &provider, nullptr);
}

void H2Client::Send(int32_t stream, std::string_view bytes) {
  streams_[stream].to_send += bytes;
  nghttp2_session_resume_data(session_, stream);
}

void H2Client::End(int32_t stream) {
  streams_[stream].end = true;
  nghttp2_session_resume_data(session_, stream);
}

void H2Client::Reset(int32_t stream) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL); }

void H2Client::OpenWindow(int32_t stream, int bytes) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream, bytes);
}

void H2Client::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

std::string H2Client::Output() {
  std::string out;
  const uint8_t* data = nullptr;
  for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &data)) > 0;) {
    out += Text(data, static_cast<size_t>(size));
  }
  return out;
}

void H2Client::Receive(std::string_view bytes) {
  nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

H2Client::Headers H2Client::Call(const std::string& path, const Headers& more) {
  Headers headers = {{":method", "POST"},    {":scheme", "http"}, {":path", path},
                     {":authority", "test"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return headers;
}

std::string H2Client::Framed(const std::string& message, char flag) {
  const size_t size = message.size();
  return std::string{flag, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                     static_cast<char>(size)} +
         message;
}

}  // namespace meshgate::testing
