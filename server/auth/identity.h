// Who calls, as far as permissions go.
#ifndef MESHGATE_SERVER_AUTH_IDENTITY_H_
#define MESHGATE_SERVER_AUTH_IDENTITY_H_

#include <memory>
#include <string>
#include <utility>

#include "server/auth/keyed_hash.h"

namespace meshgate::server::auth {

// A caller's token. A secret: nothing prints it, and what outlives the calls of a caller knows its id alone.
class Identity {
 public:
  Identity(std::string token, Hash128 id) : token_(std::move(token)), id_(id) {}
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  // Empty: the caller has none, and may do what Consul lets anybody do.
  const std::string& token() const { return token_; }
  // Equal for equal tokens, within this process.
  const Hash128& id() const { return id_; }

 private:
  const std::string token_;
  const Hash128 id_;
};
using SharedIdentity = std::shared_ptr<const Identity>;

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_IDENTITY_H_
