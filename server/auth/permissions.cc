#include "server/auth/permissions.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::server::auth {

using consul::Permission;
using consul::TargetKind;

std::optional<Question> WholeOf(const consul::Target& target, bool has_parts) {
  switch (target.kind) {
    case TargetKind::kKey:
      return Question{{Permission::Kind::kReadKey, target.name}};
    case TargetKind::kService:
      return Question{{Permission::Kind::kReadService, target.name}};
    case TargetKind::kPrefix:
      if (has_parts) return std::nullopt;
      return Question{{Permission::Kind::kReadKey, target.name}, 0, /*below=*/true};
    case TargetKind::kCatalog:
      if (has_parts) return std::nullopt;
      return Question{{Permission::Kind::kReadService, ""}};
    // Made with the caller's own token.
    case TargetKind::kQuery:
      break;
  }
  return std::nullopt;
}

bool WholeDecides(TargetKind kind) { return kind == TargetKind::kKey || kind == TargetKind::kService; }

Permission::Kind KindOfParts(TargetKind kind) {
  switch (kind) {
    case TargetKind::kService:
      return Permission::Kind::kReadNode;
    case TargetKind::kCatalog:
      return Permission::Kind::kReadService;
    case TargetKind::kKey:
    case TargetKind::kPrefix:
    case TargetKind::kQuery:
      break;
  }
  return Permission::Kind::kReadKey;
}

bool IsNarrowed(const consul::Target& target, const consul::View& view) {
  return target.kind == TargetKind::kService && (!target.filter.empty() || !view.tags.empty());
}

absl::Status DeniedTo(const Authorizer& authorizer, const Identity& identity, std::string_view what,
                      std::string_view list) {
  std::string message;
  if (identity.name().empty()) {
    message = absl::StrCat("the token has no permission to ", ToAbsl(what));
  } else {
    // Its name is the caller's own. What others may do is not its business.
    const std::string entry = authorizer.EntryOf(identity);
    const bool own = entry.empty() || entry == identity.name();
    message = absl::StrCat(
        "\"", identity.name(), "\" has no permission to ", ToAbsl(what), ": add it to ", ToAbsl(list), " of ",
        own ? "this identity" : absl::StrCat("\"", entry, "\", the entry that counts for this identity,"),
        " in the file of the gateway's --auth_mtls_file", own ? "" : "; an entry of its own would replace that one");
  }
  return MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, message);
}

absl::Status DeniedOf(const Authorizer& authorizer, TargetKind kind, const Identity& identity) {
  switch (kind) {
    case TargetKind::kKey:
      return DeniedTo(authorizer, identity, "read this key", "read.keys");
    case TargetKind::kPrefix:
      return DeniedTo(authorizer, identity, "read this prefix", "read.keys");
    case TargetKind::kService:
      return DeniedTo(authorizer, identity, "read this service and its nodes", "read.services");
    case TargetKind::kCatalog:
    case TargetKind::kQuery:
      break;
  }
  return DeniedTo(authorizer, identity, "read any service", "read.services");
}

absl::Status RegistrationDenied(const Authorizer& authorizer, const Identity& identity) {
  return DeniedTo(authorizer, identity, "write this service", "register.services");
}

absl::Status LostOf(TargetKind kind) {
  const char* what = kind == TargetKind::kService ? "some nodes of the service's instances" : "some keys of the prefix";
  return MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied,
                   absl::StrCat("the permission to read ", what,
                                " was lost, which is no deletion; open the stream again, without a resume token, to go "
                                "on with what is left"));
}

absl::Status ForCallers(absl::Status status) {
  if (!absl::IsPermissionDenied(status) && !absl::IsUnauthenticated(status)) return status;
  return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable,
                   "Consul refuses this to the gateway's own token");
}

absl::Status ForCaller(const SharedIdentity& identity, absl::Status status) {
  return identity == nullptr || identity->token().has_value() ? status : ForCallers(std::move(status));
}

}  // namespace meshgate::server::auth
