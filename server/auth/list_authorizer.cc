#include "server/auth/list_authorizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "server/auth/permissions.h"

namespace meshgate::server::auth {
namespace {

using consul::Permission;
using metrics::AuthReporter;

bool Allows(const Rules& rules, const Question& question) {
  const Permission& permission = question.permission;
  switch (permission.kind) {
    case Permission::Kind::kReadKey:
      return question.below ? rules.read_keys.HasAllBelow(permission.name) : rules.read_keys.Has(permission.name);
    case Permission::Kind::kReadService:
      return rules.read_services.Has(permission.name);
    case Permission::Kind::kReadNode:
      // Asked about those of a service, which is asked about, too.
      return true;
    case Permission::Kind::kWriteService:
      return rules.register_services.Has(permission.name);
  }
  return false;
}

absl::Status NotListed(const Identity& identity) {
  return MakeError(absl::StatusCode::kPermissionDenied, reason::kIdentityNotListed,
                   absl::StrCat("\"", identity.name(),
                                "\" is not in the gateway's allow-list: add it to the file of --auth_mtls_file"));
}

}  // namespace

ListAuthorizer::ListAuthorizer(std::shared_ptr<const AllowListFile> list, consul::InstanceDirectory* directory,
                               Scheduler* scheduler, AuthReporter* reporter)
    : Authorizer(scheduler, reporter), list_(std::move(list)), directory_(directory) {}

SharedIdentity ListAuthorizer::Identify(const Metadata& /*metadata*/, const std::string& tls_identity) const {
  if (tls_identity.empty()) return nullptr;
  return Identity::OfName(tls_identity, hash_.Of({tls_identity}));
}

absl::Status ListAuthorizer::Unidentified() const {
  return MakeError(absl::StatusCode::kUnauthenticated, reason::kIdentityMissing,
                   "the client has shown no certificate that says who it is: it needs one SPIFFE ID (a URI among the "
                   "alternative names of its subject) or else a common name");
}

void ListAuthorizer::Check(const SharedIdentity& identity, const std::string& /*datacenter*/,
                           std::vector<Question> questions, Grace /*grace*/, absl::AnyInvocable<void()> begun,
                           Done done) {
  scheduler()->Post(
      [this, identity, questions = std::move(questions), begun = std::move(begun), done = std::move(done)]() mutable {
        if (begun) begun();
        const std::shared_ptr<const AllowList> list = list_->current();
        const Rules* const rules = list->Find(identity->name());
        if (rules == nullptr) {
          reporter()->OnCheck(AuthReporter::Result::kDenied);
          return done(NotListed(*identity));
        }
        std::vector<bool> allowed;
        for (const Question& question : questions) allowed.push_back(Allows(*rules, question));
        Report(allowed);
        done(std::move(allowed));
      });
}

std::optional<bool> ListAuthorizer::LastKnown(const SharedIdentity& identity, const std::string& /*datacenter*/,
                                              const Question& question) {
  const std::shared_ptr<const AllowList> list = list_->current();
  const Rules* const rules = list->Find(identity->name());
  // Check() says why not.
  if (rules == nullptr) return std::nullopt;
  return Allows(*rules, question);
}

bool ListAuthorizer::MayEverShow(const Identity& identity, const consul::Target& target) const {
  const std::shared_ptr<const AllowList> list = list_->current();
  const Rules* const rules = list->Find(identity.name());
  if (rules == nullptr) return true;
  switch (target.kind) {
    case consul::TargetKind::kPrefix:
      return rules->read_keys.HasSomeBelow(target.name);
    case consul::TargetKind::kCatalog:
      return !rules->read_services.empty();
    case consul::TargetKind::kQuery:
      return false;
    case consul::TargetKind::kKey:
    case consul::TargetKind::kService:
      break;
  }
  return true;
}

absl::Status ListAuthorizer::CheckWrite(const Identity& identity, const KeyWrite& write) const {
  const std::shared_ptr<const AllowList> list = list_->current();
  const Rules* const rules = list->Find(identity.name());
  const bool allowed = rules != nullptr &&
                       (write.prefix ? rules->write_keys.HasAllBelow(write.name) : rules->write_keys.Has(write.name));
  Report({allowed});
  if (allowed) return absl::OkStatus();
  if (rules == nullptr) return NotListed(identity);
  return DeniedTo(*this, identity, write.prefix ? "delete this prefix" : "write this key", "write.keys");
}

absl::Status ListAuthorizer::CheckRegistersAny(const Identity& identity) const {
  const std::shared_ptr<const AllowList> list = list_->current();
  const Rules* const rules = list->Find(identity.name());
  const bool allowed = rules != nullptr && !rules->register_services.empty();
  Report({allowed});
  if (allowed) return absl::OkStatus();
  if (rules == nullptr) return NotListed(identity);
  return DeniedTo(*this, identity, "write any service", "register.services");
}

std::string ListAuthorizer::EntryOf(const Identity& identity) const {
  return list_->current()->EntryOf(identity.name());
}

void ListAuthorizer::FindService(const std::string& id, absl::Duration timeout,
                                 consul::Backend::Callback<std::string> done) {
  consul::ReadOptions options;
  options.timeout = timeout;
  directory_->FindService(id, options, std::move(done));
}

}  // namespace meshgate::server::auth
