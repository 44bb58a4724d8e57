#ifndef MESHGATE_SERVER_TLS_CHANNEL_H_
#define MESHGATE_SERVER_TLS_CHANNEL_H_

#include <openssl/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "server/tls/failure.h"

namespace meshgate::server::tls {

// The TLS of one connection, the server's side: bytes in, bytes out, no socket. What is waited for costs what OpenSSL
// keeps of a session, and no buffers but for a record that has not come as a whole. Not thread-safe.
class Channel {
 public:
  explicit Channel(SSL_CTX* context);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  enum class Result {
    kOk,
    kMore,    // All of `in` is taken, and more has to come.
    kEnd,     // The peer has said that it will send no more.
    kFailed,  // failure() says why. What is in `out` is still to be sent.
  };

  // Takes what the peer has sent off the front of `in`, and appends what is to be sent to `out`. kOk: done, and what is
  // left in `in` is for Open().
  Result Handshake(std::string_view* in, std::string* out);
  bool done() const { return done_; }
  const Failure& failure() const { return failure_; }
  // Who the peer's certificate says that it is; empty without one. Once done.
  std::string PeerIdentity() const;

  // Decrypts what is at the front of `in`, as far as `most` bytes of it, into `buffer`. kOk with `size` 0: what was
  // taken was no data, and there may be more.
  Result Open(std::string_view* in, char* buffer, size_t most, size_t* size);

  // Open() has some for which nothing has to come.
  bool HasMore() const;

  // Open() has had something to say to the peer, which goes with what is sealed next.
  bool HasToSay() const { return !late_.empty(); }

  // Appends `plain`, encrypted, to `out`. False: nothing can be sent any more.
  bool Seal(std::string_view plain, std::string* out);

  // Appends that no more will be sent.
  void End(std::string* out);

 private:
  friend struct ChannelBio;

  Result Fail(int result);

  SSL* const ssl_;
  // While OpenSSL is at work.
  std::string_view* in_ = nullptr;
  std::string* out_ = nullptr;
  // What it had to say at other times, and how often it had.
  std::string late_;
  int asked_ = 0;
  bool done_ = false;
  // Bytes taken since the last data.
  size_t without_data_ = 0;
  Failure failure_{};
};

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_CHANNEL_H_
