#ifndef MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_
#define MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace meshgate::bench {

// A connection that sends whatever it is given, however wrong, and sees how the server ends it. Not thread-safe.
class RawConnection {
 public:
  // With `reads` false nothing is read: the server has to do with what the socket takes.
  RawConnection(const std::string& address, bool reads);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return fd_ >= 0; }
  // Sends all of it and takes what comes meanwhile. False when the server has ended the connection, or at `until`.
  bool Send(std::string_view bytes, absl::Time until);
  // Takes what comes. False when the server has ended the connection.
  bool Listen(absl::Duration time);

  // A GOAWAY with an error, the end of the socket, or, where nothing is read, that it has taken nothing for a while.
  bool ended() const { return goaway_.has_value() || closed_ || deaf_; }
  // "GOAWAY 11", "closed", "not read", "open".
  std::string ending() const;

 private:
  void Take();
  void OnFrame(uint8_t type, std::string_view payload);

  const bool reads_;
  int fd_;
  std::string input_;
  std::optional<uint32_t> goaway_;
  bool closed_ = false;
  bool deaf_ = false;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_
