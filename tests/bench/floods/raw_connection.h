#ifndef MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_
#define MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_

#include <openssl/types.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace meshgate::bench {

// What is sent to a server, and what its answers are read as.
enum class Layer {
  kPlain,
  // After a handshake.
  kTls,
  // To a server that speaks TLS, which it does not answer in: what comes is not looked at.
  kBelowTls,
};

// A connection that sends whatever it is given, however wrong, and sees how the server ends it. Not thread-safe.
class RawConnection {
 public:
  // With `reads` false nothing is read: the server has to do with what the socket takes. A handshake is waited for; one
  // that fails has ended the connection.
  RawConnection(const std::string& address, bool reads, Layer layer);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return fd_ >= 0; }
  // Asks for new keys, of both sides (RFC 8446, 4.6.3), once what was asked for before is on its way. False as Send().
  bool UpdateKeys(absl::Time until);
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
  // As send() and recv().
  ssize_t Put(std::string_view bytes);
  ssize_t Get(char* to, size_t size);
  void OnFrame(uint8_t type, std::string_view payload);

  const bool reads_;
  const Layer layer_;
  int fd_;
  SSL* tls_ = nullptr;
  std::string input_;
  std::optional<uint32_t> goaway_;
  bool closed_ = false;
  bool deaf_ = false;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_RAW_CONNECTION_H_
