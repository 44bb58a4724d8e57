// Who calls, as far as permissions go.
#ifndef MESHGATE_SERVER_AUTH_IDENTITY_H_
#define MESHGATE_SERVER_AUTH_IDENTITY_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/auth/keyed_hash.h"

namespace meshgate {

// Beside those of consul/base/errors.h, and as much a part of the public API: add, never rename.
namespace reason {
inline constexpr std::string_view kIdentityMissing = "IDENTITY_MISSING";       // UNAUTHENTICATED
inline constexpr std::string_view kIdentityNotListed = "IDENTITY_NOT_LISTED";  // PERMISSION_DENIED
}  // namespace reason

namespace server::auth {

// A caller, by its token or by its name. A token is a secret: nothing prints it, and what outlives the calls of a
// caller knows its id alone.
class Identity {
 public:
  // The token may be empty: the caller has none, and may do what Consul lets anybody do.
  static std::shared_ptr<const Identity> OfToken(std::string token, Hash128 id) {
    return std::shared_ptr<const Identity>(new Identity(std::move(token), "", id));
  }
  // Whoever its certificate says that it is; never empty.
  static std::shared_ptr<const Identity> OfName(std::string name, Hash128 id) {
    return std::shared_ptr<const Identity>(new Identity(std::nullopt, std::move(name), id));
  }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  // With what Consul is asked for the caller; nothing: with the gateway's own token.
  const std::optional<std::string>& token() const { return token_; }

  // Empty for a caller that is known by its token.
  const std::string& name() const { return name_; }

  // Equal for equal tokens and for equal names, within this process.
  const Hash128& id() const { return id_; }

 private:
  Identity(std::optional<std::string> token, std::string name, Hash128 id)
      : token_(std::move(token)), name_(std::move(name)), id_(id) {}

  const std::optional<std::string> token_;
  const std::string name_;
  const Hash128 id_;
};
using SharedIdentity = std::shared_ptr<const Identity>;

}  // namespace server::auth
}  // namespace meshgate

#endif  // MESHGATE_SERVER_AUTH_IDENTITY_H_
