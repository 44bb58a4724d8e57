#include "tests/bench/floods/requests.h"

#include "meshgate/v1/config_service.pb.h"
#include "tests/bench/load/http2.h"
#include "tests/bench/load/request_headers.h"

namespace meshgate::bench {

void AppendHeaders(uint32_t stream, std::string_view block, std::string* out) {
  http2::AppendFrame(http2::kHeaders, http2::kEndHeaders, stream, block, out);
}

void AppendCall(std::string_view path, uint32_t n, std::string* out) {
  static thread_local std::string last_path;
  static thread_local RequestHeaders headers;
  if (last_path != path) headers = MakeRequestHeaders(last_path = path);
  AppendHeaders(StreamId(n), n == 0 ? headers.first : headers.later, out);
}

void AppendRequest(uint32_t stream, std::string_view message, std::string* out) {
  std::string framed;
  http2::AppendMessageHeader(message.size(), &framed);
  framed.append(message);
  http2::AppendFrame(http2::kData, http2::kEndStream, stream, framed, out);
}

std::string Calls(std::string_view path, std::string_view request, uint32_t count) {
  std::string out;
  for (uint32_t n = 0; n < count; ++n) {
    AppendCall(path, n, &out);
    AppendRequest(StreamId(n), request, &out);
  }
  return out;
}

void AppendInitialWindow(uint32_t bytes, std::string* out) {
  std::string setting;
  http2::AppendSetting(http2::kInitialWindowSize, bytes, &setting);
  http2::AppendFrame(http2::kSettings, 0, 0, setting, out);
}

void AppendConnectionWindow(std::string* out) {
  http2::AppendWindowUpdate(0, http2::kMaxWindow - http2::kDefaultWindow, out);
}

std::string GetRequest(std::string_view key) {
  v1::GetConfigRequest request;
  request.set_key(std::string(key));
  request.mutable_options()->set_consistency(v1::CONSISTENCY_CACHED);
  return request.SerializeAsString();
}

std::string WatchRequest(std::string_view key) {
  v1::WatchConfigRequest request;
  request.set_key(std::string(key));
  return request.SerializeAsString();
}

}  // namespace meshgate::bench
