#include "server/auth/keyed_hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace meshgate::server::auth {
namespace {

[[noreturn]] void Abort(const char* what) {
  std::fprintf(stderr, "meshgate: %s\n", what);
  std::abort();
}

}  // namespace

KeyedHash::KeyedHash() {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1) Abort("the system gives no random bytes");
}

Hash128 KeyedHash::Of(std::initializer_list<std::string_view> texts) const {
  std::string bytes;
  for (const std::string_view text : texts) {
    const uint64_t size = text.size();
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
    bytes.append(text);
  }
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash, &size) == nullptr) {
    Abort("OpenSSL gives no HMAC-SHA256");
  }
  Hash128 out;
  std::memcpy(&out.high, hash, sizeof out.high);
  std::memcpy(&out.low, hash + sizeof out.high, sizeof out.low);
  return out;
}

}  // namespace meshgate::server::auth
