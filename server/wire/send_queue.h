#ifndef MESHGATE_SERVER_WIRE_SEND_QUEUE_H_
#define MESHGATE_SERVER_WIRE_SEND_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "boost/intrusive/list.hpp"

namespace meshgate::server::wire {

class Stream;

// What a stream is to its connection's queue.
class QueuedStream
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 private:
  friend class SendQueue;
  // Room that the peer has given beyond its SETTINGS', less what was sent: negative where more was sent.
  int64_t credit_ = 0;
};

// The DATA of a connection: whose turn it is, a frame each, and what room the peer has left for it (RFC 9113, 5.2).
// nghttp2 has no part in it: of what a message of 1 KiB takes on its way to one of a hundred streams, its bookkeeping
// would be a third. Not thread-safe.
class SendQueue {
 public:
  // Of a frame; every peer takes so many (RFC 9113, 4.2).
  static constexpr size_t kFrameBytes = 16384;

  // `stream` may have something to send; it leaves by itself when it has not, or is gone. Returns whether it was not
  // there yet.
  bool Add(Stream* stream);

  // Each returns false where a window would be larger than HTTP/2 allows: an error of the connection, the stream, the
  // connection.
  [[nodiscard]] bool OnConnectionWindow(uint32_t increment);
  [[nodiscard]] bool OnStreamWindow(Stream* stream, uint32_t increment);
  // `streams` are all of the connection's.
  [[nodiscard]] bool OnInitialWindow(uint32_t size, const absl::flat_hash_set<Stream*>& streams);

  // Appends frames until `out` holds `enough`, or `most` are there, or nobody has anything that there is room for.
  // Returns how many.
  size_t Produce(std::string* out, size_t enough, size_t most);

 private:
  class Ahead;

  static constexpr int64_t kMaxWindow = std::numeric_limits<int32_t>::max();
  static constexpr int64_t kDefaultWindow = 65535;

  using List = boost::intrusive::list<QueuedStream, boost::intrusive::constant_time_size<false>>;

  int64_t window_ = kDefaultWindow;
  int64_t initial_window_ = kDefaultWindow;
  // No stream has more.
  int64_t most_credit_ = 0;
  List sendable_;
  // For want of room of their own.
  List blocked_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_SEND_QUEUE_H_
