#include <string>
#include <utility>

#include "tests/bench/floods/floods.h"
#include "tests/bench/floods/hpack.h"
#include "tests/bench/floods/requests.h"
#include "tests/bench/load/http2.h"

namespace meshgate::bench {
namespace {

constexpr uint32_t kMaxStreams = 4096;

Flood Scripted(const char* name, bool must_end, Script script) {
  return {name, must_end, [script = std::move(script)](Attack* attack) { attack->Run(script); }};
}

// Calls that are never made: headers alone.
void Open(uint32_t step, std::string* out) { AppendCall(kWatch, step, out); }

// Of the server's SETTINGS, whose limits hold from then on.
std::string Acknowledgement() {
  std::string out;
  http2::AppendFrame(http2::kSettings, http2::kAck, 0, {}, &out);
  return out;
}

std::string NoWindows() {
  std::string out;
  AppendInitialWindow(0, &out);
  AppendConnectionWindow(&out);
  return out;
}

// Calls of what the front does not serve itself, each with `headers` more of about 4,000 bytes.
std::string Forwarded(uint32_t count, size_t headers) {
  std::string out;
  for (uint32_t n = 0; n < count; ++n) {
    std::string block = hpack::Request(kHealthWatch);
    for (size_t i = 0; i < headers; ++i) {
      if (n == 0 && i == 0) {
        hpack::AppendAdded("x-large", std::string(4000, 'x'), &block);
      } else {
        hpack::AppendIndexed(hpack::kLatest, &block);
      }
    }
    AppendHeaders(StreamId(n), block, &out);
    AppendRequest(StreamId(n), "", &out);
  }
  return out;
}

}  // namespace

std::vector<Flood> StreamFloods() {
  constexpr uint32_t kFew = 100;
  return {
      Scripted("streams opened and not used", true, {Acknowledgement(), Open}),
      Scripted("the same, SETTINGS not acknowledged", false, {"", Open}),
      Scripted("the same, nothing read", true, {"", Open, /*reads=*/false}),
      Scripted("window of 0, 4096 watches", false,
               {NoWindows() + Calls(kWatch, WatchRequest(kFloodedKey), kMaxStreams), nullptr}),
      Scripted("window of 0, 4096 reads of 64 KiB", false,
               {NoWindows() + Calls(kGet, GetRequest(kFloodedKey), kMaxStreams), nullptr}),
      Scripted("reads of 64 KiB, nothing read", false,
               {Calls(kGet, GetRequest(kFloodedKey), kMaxStreams), nullptr, /*reads=*/false}),
      Scripted("windows of 1 byte, 100 watches of 64 KiB", false,
               {NoWindows() + Calls(kWatch, WatchRequest(kFloodedKey), kFew),
                [](uint32_t step, std::string* out) { http2::AppendWindowUpdate(StreamId(step % kFew), 1, out); }}),
      Scripted("health watches, 4096", false, {Forwarded(kMaxStreams, 0), nullptr}),
      Scripted("health watches, 12 KiB of headers, 4096", false, {Forwarded(kMaxStreams, 3), nullptr}),
      {"connections opened and closed", false, [](Attack* attack) { attack->OpenAndClose(20'000, Hello()); }},
  };
}

}  // namespace meshgate::bench
