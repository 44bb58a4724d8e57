#include "server/auth/permissions.h"

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::server::auth {

using consul::Permission;
using consul::TargetKind;

std::optional<Permission> WholeOf(const consul::Target& target, bool has_parts) {
  switch (target.kind) {
    case TargetKind::kKey:
      return Permission{Permission::Kind::kReadKey, target.name};
    case TargetKind::kService:
      return Permission{Permission::Kind::kReadService, target.name};
    case TargetKind::kPrefix:
      if (has_parts) return std::nullopt;
      return Permission{Permission::Kind::kReadKey, target.name};
    case TargetKind::kCatalog:
      if (has_parts) return std::nullopt;
      return Permission{Permission::Kind::kReadService, ""};
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
      break;
  }
  return Permission::Kind::kReadKey;
}

bool IsNarrowed(const consul::Target& target, const consul::View& view) {
  return target.kind == TargetKind::kService && (!target.filter.empty() || !view.tags.empty());
}

absl::Status DeniedOf(TargetKind kind) {
  const char* what = "this key";
  if (kind == TargetKind::kPrefix) what = "this prefix";
  if (kind == TargetKind::kService) what = "this service and its nodes";
  if (kind == TargetKind::kCatalog) what = "any service";
  return MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied,
                   absl::StrCat("the token has no permission to read ", what));
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

}  // namespace meshgate::server::auth
