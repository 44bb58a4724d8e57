#include "server/tls/channel.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/tls/identity.h"

namespace meshgate::server::tls {

namespace {

using Reason = metrics::HandshakeFailure;

// Of records that carry nothing, new keys and the like, one after the other: twenty-odd bytes each. A record that does
// has at most a quarter of it.
constexpr size_t kMostWithoutData = 64 << 10;

// The same of what it has us say, new keys and refusals to begin anew, in a connection's life: one that is honest asks
// for new keys once in some hundred gigabytes.
constexpr int kMostAsked = 100;

}  // namespace

// OpenSSL's side: what it reads and writes goes from and to the buffers of the call that it is in, without a copy on
// the way.
struct ChannelBio {
  static Channel& Of(BIO* bio) { return *static_cast<Channel*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* to, int size) {
    BIO_clear_retry_flags(bio);
    std::string_view* const in = Of(bio).in_;
    if (in == nullptr || in->empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t taken = std::min(in->size(), static_cast<size_t>(size));
    std::memcpy(to, in->data(), taken);
    in->remove_prefix(taken);
    return static_cast<int>(taken);
  }

  static int Write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    Channel& channel = Of(bio);
    if (channel.out_ == nullptr) ++channel.asked_;
    (channel.out_ != nullptr ? *channel.out_ : channel.late_).append(from, static_cast<size_t>(size));
    return size;
  }

  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static int Create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const all = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "meshgate");
      BIO_meth_set_read(made, Read);
      BIO_meth_set_write(made, Write);
      BIO_meth_set_ctrl(made, Control);
      BIO_meth_set_create(made, Create);
      return made;
    }();
    return all;
  }
};

Channel::Channel(SSL_CTX* context) : ssl_(SSL_new(context)) {
  BIO* const bio = BIO_new(ChannelBio::Method());
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_accept_state(ssl_);
}

Channel::~Channel() { SSL_free(ssl_); }

Channel::Result Channel::Handshake(std::string_view* in, std::string* out) {
  in_ = in;
  out_ = out;
  ERR_clear_error();
  size_t before = 0;
  int result = 0;
  // It may come back for a record that brings it no further.
  do {
    before = in->size();
    result = SSL_do_handshake(ssl_);
  } while (result != 1 && SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ && !in->empty() && in->size() < before);
  in_ = nullptr;
  out_ = nullptr;
  if (result != 1) return SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ ? Result::kMore : Fail(result);
  done_ = true;
  return Result::kOk;
}

Channel::Result Channel::Fail(int result) {
  const unsigned long error = ERR_peek_error();
  failure_ = FailureOf(error, SSL_get_verify_result(ssl_));
  ERR_clear_error();
  return Result::kFailed;
}

std::string Channel::PeerIdentity() const { return IdentityOfPeer(ssl_); }

Channel::Result Channel::Open(std::string_view* in, char* buffer, size_t most, size_t* size) {
  *size = 0;
  const size_t before = in->size();
  in_ = in;
  ERR_clear_error();
  const int result = SSL_read(ssl_, buffer, static_cast<int>(most));
  in_ = nullptr;
  if (asked_ > kMostAsked) {
    failure_ = {Reason::kProtocol, "asks for too much beside data"};
    return Result::kFailed;
  }
  if (result > 0) {
    *size = static_cast<size_t>(result);
    without_data_ = 0;
    return Result::kOk;
  }
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      without_data_ += before - in->size();
      if (without_data_ <= kMostWithoutData) return in->empty() ? Result::kMore : Result::kOk;
      failure_ = {Reason::kProtocol, "too many records without data"};
      return Result::kFailed;
    case SSL_ERROR_ZERO_RETURN:
      return Result::kEnd;
    default:
      return Fail(result);
  }
}

bool Channel::HasMore() const { return SSL_pending(ssl_) > 0; }

bool Channel::Seal(std::string_view plain, std::string* out) {
  out->append(std::exchange(late_, {}));
  if (plain.empty()) return true;
  out_ = out;
  ERR_clear_error();
  const int result = SSL_write(ssl_, plain.data(), static_cast<int>(plain.size()));
  out_ = nullptr;
  ERR_clear_error();
  return result == static_cast<int>(plain.size());
}

void Channel::End(std::string* out) {
  Seal({}, out);
  if (!done_) return;
  out_ = out;
  SSL_shutdown(ssl_);
  out_ = nullptr;
  ERR_clear_error();
}

}  // namespace meshgate::server::tls
