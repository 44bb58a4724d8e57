#ifndef MESHGATE_SERVER_AUTH_LIST_AUTHORIZER_H_
#define MESHGATE_SERVER_AUTH_LIST_AUTHORIZER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consul/instance_directory.h"
#include "server/auth/allow_list_file.h"
#include "server/auth/authorizer.h"
#include "server/auth/identity.h"
#include "server/auth/keyed_hash.h"

namespace meshgate::server::auth {

// Looks callers up in the gateway's own list, by what their certificates say that they are. The same in every
// datacenter. Who may read a service may read all of its instances: nodes are nobody's business of their own here.
//
// What it says is what the list in use says at that moment. Thread-safe; never blocks, and asks nobody.
class ListAuthorizer final : public Authorizer, public WritePolicy {
 public:
  // All outlive the authorizer, whose tasks run on the scheduler until that is stopped.
  ListAuthorizer(std::shared_ptr<const AllowListFile> list, consul::InstanceDirectory* directory, Scheduler* scheduler,
                 metrics::AuthReporter* reporter);

  // UNAUTHENTICATED (IDENTITY_MISSING): no certificate, or one that names nobody.
  SharedIdentity Identify(const Metadata& metadata, const std::string& tls_identity) const override;
  absl::Status Unidentified() const override;

  // PERMISSION_DENIED (IDENTITY_NOT_LISTED): nobody has listed it.
  void Check(const SharedIdentity& identity, const std::string& datacenter, std::vector<Question> questions,
             Grace grace, absl::AnyInvocable<void()> begun, Done done) override;
  std::optional<bool> LastKnown(const SharedIdentity& identity, const std::string& datacenter,
                                const Question& question) override;
  bool MayEverShow(const Identity& identity, const consul::Target& target) const override;

  WritePolicy* writes() override { return this; }
  // As Check().
  absl::Status CheckWrite(const Identity& identity, const KeyWrite& write) const override;
  void FindService(const std::string& id, absl::Duration timeout, consul::Backend::Callback<std::string> done) override;

 private:
  const std::shared_ptr<const AllowListFile> list_;
  consul::InstanceDirectory* const directory_;
  const KeyedHash hash_;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_LIST_AUTHORIZER_H_
