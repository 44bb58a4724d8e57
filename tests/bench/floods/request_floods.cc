#include <zlib.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tests/bench/floods/floods.h"
#include "tests/bench/floods/hpack.h"
#include "tests/bench/floods/requests.h"
#include "tests/bench/load/http2.h"

namespace meshgate::bench {
namespace {

constexpr uint8_t kContinuation = 9;
constexpr size_t kMaxFrame = 16 << 10;
constexpr size_t kMaxMessage = 1 << 20;

Flood Scripted(const char* name, bool must_end, std::function<void(uint32_t, std::string*)> frames) {
  Script script{"", std::move(frames)};
  return {name, must_end, [script = std::move(script)](Attack* attack) { attack->Run(script); }};
}

// Over as many frames as it takes.
void AppendLargeHeaders(uint32_t stream, std::string_view block, std::string* out) {
  for (bool first = true; first || !block.empty(); first = false) {
    const std::string_view some = block.substr(0, kMaxFrame);
    block.remove_prefix(some.size());
    const uint8_t flags = block.empty() ? http2::kEndHeaders : uint8_t{0};
    http2::AppendFrame(first ? http2::kHeaders : kContinuation, flags, stream, some, out);
  }
}

// A header of almost the table's size, referred to `times` times.
std::string Bomb(uint32_t step, size_t times) {
  std::string block = hpack::Request(kGet);
  if (step == 0) hpack::AppendAdded("x-bomb", std::string(4000, 'x'), &block);
  for (size_t i = 0; i < times; ++i) hpack::AppendIndexed(hpack::kLatest, &block);
  return block;
}

std::string Gzip(std::string_view bytes) {
  z_stream z = {};
  deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, bytes.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// Messages of zeros that unpack to so much.
Flood GzipBomb(const char* name, size_t unpacked) {
  const std::string packed = Gzip(std::string(unpacked, '\0'));
  std::string message;
  http2::AppendMessageHeader(packed.size(), &message);
  message[0] = 1;
  message += packed;
  std::string block = hpack::Request(kPut);
  hpack::AppendLiteral("grpc-encoding", "gzip", &block);
  return Scripted(name, false, [=](uint32_t step, std::string* out) {
    AppendHeaders(StreamId(step), block, out);
    http2::AppendFrame(http2::kData, http2::kEndStream, StreamId(step), message, out);
  });
}

// A message of the largest size by one byte at a time.
void AppendByte(uint32_t step, std::string* out) {
  constexpr uint32_t kSteps = kMaxMessage + http2::kMessageHeader;
  const uint32_t stream = StreamId(step / kSteps), at = step % kSteps;
  if (at == 0) AppendCall(kPut, step / kSteps, out);
  std::string prefix;
  http2::AppendMessageHeader(kMaxMessage, &prefix);
  const char byte = at < prefix.size() ? prefix[at] : 'x';
  http2::AppendFrame(http2::kData, at + 1 == kSteps ? http2::kEndStream : uint8_t{0}, stream, {&byte, 1}, out);
}

// Frames for so many calls in turn, none of whose messages ever ends.
void AppendEndless(uint32_t step, std::string* out) {
  constexpr uint32_t kCalls = 1000;
  static const std::string piece(kMaxFrame, 'x');
  if (step < kCalls) {
    AppendCall(kPut, step, out);
    std::string prefix;
    http2::AppendMessageHeader(kMaxMessage, &prefix);
    return http2::AppendFrame(http2::kData, 0, StreamId(step), prefix, out);
  }
  http2::AppendFrame(http2::kData, 0, StreamId(step % kCalls), piece, out);
}

}  // namespace

std::vector<Flood> RequestFloods() {
  std::string large = hpack::Request(kGet);
  hpack::AppendLiteral("x-large", std::string(60 << 10, 'x'), &large);
  std::string slow;
  AppendHeaders(1, hpack::Request(kGet), &slow);
  slow = Hello() + slow;
  return {
      Scripted("HPACK bomb, 60 MiB in a block", true,
               [](uint32_t step, std::string* out) { AppendLargeHeaders(StreamId(step), Bomb(step, 15'000), out); }),
      Scripted("HPACK bomb, 240 KiB in a block", false,
               [](uint32_t step, std::string* out) { AppendLargeHeaders(StreamId(step), Bomb(step, 60), out); }),
      Scripted("headers of 60 KiB", false,
               [=](uint32_t step, std::string* out) { AppendLargeHeaders(StreamId(step), large, out); }),
      GzipBomb("gzip, 8 MiB in a message", 8 << 20),
      GzipBomb("gzip, 1 MiB in a message", kMaxMessage),
      Scripted("DATA of 1 byte", false, AppendByte),
      Scripted("messages without end, 1000 calls", false, AppendEndless),
      {"preface dripped, 500 connections", false,
       [](Attack* attack) { attack->Drip(500, std::string_view(http2::kPreface).substr(0, 23)); }},
      {"headers dripped, 500 connections", false,
       [slow](Attack* attack) { attack->Drip(500, std::string_view(slow).substr(0, slow.size() - 1)); }},
  };
}

}  // namespace meshgate::bench
