// What comes before nghttp2: a look at the frames' headers, and at WINDOW_UPDATEs.
#ifndef MESHGATE_SERVER_WIRE_FRAME_GUARD_H_
#define MESHGATE_SERVER_WIRE_FRAME_GUARD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace meshgate::server::wire {

// Does what nghttp2 1.52 leaves to its user, and what it is not to do:
//   - A RST_STREAM for a stream that was never opened is dropped. gRPC's C-core sends one where a call is cancelled
//     before its HEADERS have left, and nghttp2 would end the connection, and every other stream on it, for that.
//   - Frames that carry nothing are counted (empty DATA, PRIORITY, WINDOW_UPDATE, PING, SETTINGS, unknown types). A
//     peer may send some at any time, and more the more it is sent; one that sends nothing else is flooding. So are
//     RST_STREAMs: nghttp2's own limit on them ends the connection by a GOAWAY, which a peer that reads nothing is not
//     sent.
//   - SETTINGS and GOAWAY, for which nghttp2 goes through every stream, are counted once more, by themselves: no answer
//     gives reason for them. A GOAWAY after the first one says nothing new and is dropped.
//   - WINDOW_UPDATEs are for the SendQueue, which sends DATA past nghttp2. Those that are errors are left to nghttp2.
//
// Not thread-safe.
class FrameGuard {
 public:
  // At most so many idle frames in a burst and a second, beside those that what we send gives reason for. A burst may
  // cancel all calls of a connection.
  static constexpr double kBurst = 5000;
  static constexpr double kPerSecond = 200;
  // The same of SETTINGS and GOAWAY. A client that adapts its windows to its network changes them ten times a second.
  static constexpr double kWideBurst = 20;
  static constexpr double kWidePerSecond = 20;

  // Calls `pass` with the bytes that are for nghttp2, in pieces, as long as it returns true, and `window` with the
  // stream (0: the connection) and the increment of each WINDOW_UPDATE that may be one. Returns false when `pass` did,
  // or when the peer is flooding.
  bool Feed(std::string_view bytes, absl::Time now, absl::FunctionRef<bool(std::string_view)> pass,
            absl::FunctionRef<void(int32_t stream, uint32_t increment)> window);

  // Frames were sent to the peer, of which each gives it reason for one or two of its own.
  void OnSent(size_t frames) { idle_credit_ += 2.0 * static_cast<double>(frames); }

  bool flooded() const { return flooded_; }

 private:
  static constexpr size_t kPrefaceBytes = 24;
  static constexpr size_t kHeaderBytes = 9;
  static constexpr size_t kWindowUpdateBytes = kHeaderBytes + 4;

  // What becomes of a frame.
  enum class Way { kPass, kDrop, kWindow };

  // Takes the header that is complete now.
  Way OnHeader();
  void Refill(absl::Time now);
  bool IsIdle(uint8_t type, uint8_t flags, uint32_t length) const;

  size_t preface_left_ = kPrefaceBytes;
  // The header that is coming in; of a WINDOW_UPDATE the whole frame.
  char held_[kWindowUpdateBytes] = {};
  size_t held_size_ = 0;
  size_t held_needed_ = kHeaderBytes;
  uint32_t payload_left_ = 0;
  bool dropping_ = false;
  uint32_t highest_stream_ = 0;
  // Frames that are errors where they are, whatever they say.
  bool greeted_ = false;
  bool in_header_block_ = false;
  bool heard_goaway_ = false;

  double idle_credit_ = kBurst;
  double wide_credit_ = kWideBurst;
  absl::Time refilled_ = absl::InfinitePast();
  bool flooded_ = false;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_FRAME_GUARD_H_
