#include <functional>
#include <string>
#include <utility>

#include "tests/bench/floods/floods.h"
#include "tests/bench/floods/requests.h"
#include "tests/bench/load/http2.h"

namespace meshgate::bench {
namespace {

constexpr uint8_t kPriority = 2, kContinuation = 9, kUnknown = 0xbe;
constexpr uint32_t kCancel = 8;
constexpr uint32_t kMaxStreams = 4096;

using Frames = std::function<void(uint32_t step, std::string* out)>;

std::string U32(uint32_t value) {
  std::string out;
  http2::AppendU32(value, &out);
  return out;
}

Flood MustEnd(const char* name, Frames frames, std::string opening = "", bool reads = true) {
  Script script{std::move(opening), std::move(frames), reads};
  return {name, true, [script = std::move(script)](Attack* attack) { attack->Run(script); }};
}

Flood Legal(const char* name, Frames frames, std::string opening) {
  Flood flood = MustEnd(name, std::move(frames), std::move(opening));
  flood.must_end = false;
  return flood;
}

// A frame over and over.
Frames Same(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  http2::AppendFrame(type, flags, stream, payload, &frame);
  return [frame = std::move(frame)](uint32_t, std::string* out) { out->append(frame); };
}

// A call that is still being made.
std::string OpenCall() {
  std::string out;
  AppendCall(kPut, 0, &out);
  return out;
}

void BeginAndReset(uint32_t step, std::string* out) {
  AppendCall(kGet, step, out);
  http2::AppendFrame(http2::kRstStream, 0, StreamId(step), U32(kCancel), out);
}

void ContinueForEver(uint32_t step, std::string* out) {
  if (step == 0) return http2::AppendFrame(http2::kHeaders, 0, 1, "", out);
  http2::AppendFrame(kContinuation, 0, 1, "", out);
}

std::string GoAway() { return U32(0) + U32(0) + std::string(64, 'x'); }

}  // namespace

std::vector<Flood> FrameFloods() {
  const Frames settings = Same(http2::kSettings, 0, 0, "");
  const std::string watches = Calls(kWatch, WatchRequest(kFloodedKey), kMaxStreams);
  std::string no_window;
  AppendInitialWindow(0, &no_window);
  AppendConnectionWindow(&no_window);
  return {
      MustEnd("rapid reset", BeginAndReset),
      MustEnd("rapid reset, nothing read", BeginAndReset, "", false),
      MustEnd("RST_STREAM on idle streams",
              [](uint32_t step, std::string* out) {
                http2::AppendFrame(http2::kRstStream, 0, StreamId(step), U32(kCancel), out);
              }),
      MustEnd("CONTINUATION without end", ContinueForEver),
      MustEnd("SETTINGS", settings),
      MustEnd("SETTINGS, nothing read", settings, "", false),
      MustEnd(
          "SETTINGS, window to and fro, 4096 streams",
          [](uint32_t step, std::string* out) { AppendInitialWindow(step % 2, out); }, no_window + watches),
      MustEnd(
          "SETTINGS, window 1 byte more, 4096 streams",
          [](uint32_t step, std::string* out) { AppendInitialWindow(step + 1, out); }, no_window + watches),
      MustEnd("PING", Same(http2::kPing, 0, 0, "12345678")),
      MustEnd("PING, nothing read", Same(http2::kPing, 0, 0, "12345678"), "", false),
      MustEnd("PING answers nobody asked for", Same(http2::kPing, http2::kAck, 0, "12345678")),
      MustEnd("empty DATA", Same(http2::kData, 0, 1, ""), OpenCall()),
      // Its flow control counts it.
      Legal("DATA of padding alone",
            Same(http2::kData, http2::kPadded, 1, std::string(1, '\xff') + std::string(255, '\0')), OpenCall()),
      MustEnd("PRIORITY", Same(kPriority, 0, 1, U32(0) + '\x10')),
      MustEnd("WINDOW_UPDATE", Same(http2::kWindowUpdate, 0, 0, U32(1))),
      MustEnd("WINDOW_UPDATE of 0, connection", Same(http2::kWindowUpdate, 0, 0, U32(0))),
      MustEnd("WINDOW_UPDATE of 0, streams",
              [](uint32_t step, std::string* out) {
                AppendCall(kGet, step, out);
                http2::AppendWindowUpdate(StreamId(step), 0, out);
              }),
      MustEnd("unknown types", Same(kUnknown, 0, 0, "")),
      MustEnd("unknown types, 16 KiB each", Same(kUnknown, 0, 0, std::string(16 << 10, 'x'))),
      MustEnd("GOAWAY, 4096 streams", Same(http2::kGoAway, 0, 0, GoAway()), no_window + watches),
  };
}

}  // namespace meshgate::bench
