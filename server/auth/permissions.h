// What is asked about a target, and how callers are told what they may not do.
#ifndef MESHGATE_SERVER_AUTH_PERMISSIONS_H_
#define MESHGATE_SERVER_AUTH_PERMISSIONS_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "consul/backend.h"
#include "consul/watch/target.h"
#include "server/auth/identity.h"

namespace meshgate::server::auth {

// What tells of a target as a whole; nothing where its parts do.
std::optional<consul::Permission> WholeOf(const consul::Target& target, bool has_parts);
// Whether nothing at all of the target may be read without WholeOf(target, false). Otherwise that question tells no
// more than whether the token is there.
bool WholeDecides(consul::TargetKind kind);
// Of a target's parts.
consul::Permission::Kind KindOfParts(consul::TargetKind kind);

// Whether the caller has narrowed down what of the service's instances is to be shown. By whether there is something
// it could find out, question by question, what is hidden from it, so nothing may depend on that.
bool IsNarrowed(const consul::Target& target, const consul::View& view);

// How whoever may not do something is told so: "the token has no permission to " `what` or, for a caller with a name,
// that with its name, and what to add to its `list` of the allow-list ("read.keys").
absl::Status DeniedTo(const Identity& identity, std::string_view what, std::string_view list);
// How whoever may read nothing of a target is told so.
absl::Status DeniedOf(consul::TargetKind kind, const Identity& identity);
// How whoever may not register instances of a service is told so.
absl::Status RegistrationDenied(const Identity& identity);
// How whoever was shown something that it may not read any more is told so.
absl::Status LostOf(consul::TargetKind kind);
// What became of a question of the gateway's own. What Consul refuses to its token is no word on the caller's.
absl::Status ForCallers(absl::Status status);
// The same of a call that was made for this caller, which it is where the caller has no token. Null: as it is.
absl::Status ForCaller(const SharedIdentity& identity, absl::Status status);

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_PERMISSIONS_H_
