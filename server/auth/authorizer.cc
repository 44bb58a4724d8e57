#include "server/auth/authorizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::server::auth {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(1);

}  // namespace

void Authorizer::Report(const std::vector<bool>& allowed) const {
  const bool all = std::find(allowed.begin(), allowed.end(), false) == allowed.end();
  reporter_->OnCheck(all ? metrics::AuthReporter::Result::kAllowed : metrics::AuthReporter::Result::kDenied);
}

absl::Status PermissionUnknown(const absl::Status& why) {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kPermissionUnknown,
                                  absl::StrCat("it is not known now what the caller may see: ", why.message())),
                        kRetryAfter);
}

}  // namespace meshgate::server::auth
