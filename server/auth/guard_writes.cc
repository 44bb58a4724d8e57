// What callers may write.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "server/auth/guard.h"
#include "server/auth/permissions.h"

namespace meshgate::server::auth {

// Leaves the guard's list when it goes.
class Guard::Registration {
 public:
  Registration(Guard* guard, SharedIdentity identity, std::vector<std::string> services, StatusDone lost)
      : guard_(guard), identity_(std::move(identity)), services_(std::move(services)), lost_(std::move(lost)) {}
  ~Registration() {
    MutexLock lock(guard_->mu_);
    guard_->registrations_.erase(this);
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  const SharedIdentity& identity() const { return identity_; }
  const std::vector<std::string>& services() const { return services_; }
  void Lose(absl::Status status) {
    StatusDone lost;
    {
      MutexLock lock(mu_);
      lost = std::exchange(lost_, nullptr);
    }
    if (lost) lost(std::move(status));
  }

 private:
  Guard* const guard_;
  const SharedIdentity identity_;
  const std::vector<std::string> services_;
  Mutex mu_;
  StatusDone lost_ ABSL_GUARDED_BY(mu_);
};

absl::Status Guard::MayWriteKey(const SharedIdentity& identity, const KeyWrite& write) const {
  WritePolicy* const policy = authorizer_->writes();
  return policy == nullptr ? absl::OkStatus() : policy->CheckWrite(*identity, write);
}

void Guard::CheckServices(const SharedIdentity& identity, const std::vector<std::string>& services, StatusDone done) {
  std::vector<Question> questions;
  for (const std::string& service : services) {
    questions.push_back({{consul::Permission::Kind::kWriteService, service}, 0});
  }
  authorizer_->Check(identity, "", std::move(questions), Authorizer::Grace::kNone, nullptr,
                     [identity, done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
                       if (!allowed.ok()) return done(allowed.status());
                       const bool all = std::find(allowed->begin(), allowed->end(), false) == allowed->end();
                       done(all ? absl::OkStatus() : RegistrationDenied(*identity));
                     });
}

void Guard::MayWriteInstance(const SharedIdentity& identity, const std::string& id, std::vector<std::string> services,
                             absl::Duration timeout, StatusDone done) {
  WritePolicy* const policy = authorizer_->writes();
  if (policy == nullptr) return CheckServices(identity, services, std::move(done));
  // Strangers have nothing looked up.
  CheckServices(identity, services, [=, done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    policy->FindService(id, timeout, [=, done = std::move(done)](absl::StatusOr<std::string> found) mutable {
      if (ReasonOf(found.status()) == reason::kInstanceNotFound && !services.empty()) return done(absl::OkStatus());
      if (!found.ok()) return done(ForCallers(found.status()));
      if (std::find(services.begin(), services.end(), *found) != services.end()) return done(absl::OkStatus());
      CheckServices(identity, {*std::move(found)}, std::move(done));
    });
  });
}

std::shared_ptr<Guard::Registration> Guard::WhileMayWrite(const SharedIdentity& identity,
                                                          std::vector<std::string> services, StatusDone lost) {
  if (!decides()) return nullptr;
  auto registration = std::make_shared<Registration>(this, identity, std::move(services), std::move(lost));
  MutexLock lock(mu_);
  registrations_.emplace(registration.get(), registration);
  return registration;
}

void Guard::RecheckRegistration(const std::weak_ptr<Registration>& registration) {
  const std::shared_ptr<Registration> known = registration.lock();
  if (known == nullptr) return;
  CheckServices(known->identity(), known->services(), [registration](absl::Status status) {
    if (status.ok() || absl::IsUnavailable(status)) return;
    if (const auto lost = registration.lock()) lost->Lose(std::move(status));
  });
}

}  // namespace meshgate::server::auth
