#ifndef MESHGATE_SERVER_AUTH_AUTHORIZER_H_
#define MESHGATE_SERVER_AUTH_AUTHORIZER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/watch/target.h"
#include "metrics/auth_reporter.h"
#include "server/auth/identity.h"

namespace meshgate::server::auth {

// One thing that somebody wants to see or do.
struct Question {
  consul::Permission permission;
  // Consul's index of what is to be shown; 0 where nothing is. An answer from before that was there says nothing of it.
  uint64_t index = 0;
};

// A write of configuration: of one key or, for a deletion, of all that begin so.
struct KeyWrite {
  std::string_view name;
  bool prefix = false;
};

// Decides about writes where Consul cannot: those made with the gateway's own token. Thread-safe; never blocks.
class WritePolicy {
 public:
  virtual ~WritePolicy() = default;

  // PERMISSION_DENIED: the caller may not do this.
  virtual absl::Status CheckWrite(const Identity& identity, const KeyWrite& write) const = 0;

  // As consul::InstanceDirectory's.
  virtual void FindService(const std::string& id, absl::Duration timeout,
                           consul::Backend::Callback<std::string> done) = 0;
};

// Says who callers are, and what they may do: the Guard's source, whatever that knows it from. Thread-safe; never
// blocks.
class Authorizer {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  // What was asked, in order. An error instead: nothing may be told to the caller. UNAUTHENTICATED and
  // PERMISSION_DENIED are about the caller as a whole; UNAVAILABLE (PERMISSION_UNKNOWN) means that nobody knows now.
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::vector<bool>>)>;

  enum class Grace { kNone, kLastKnown };

  // Both outlive the authorizer.
  Authorizer(Scheduler* scheduler, metrics::AuthReporter* reporter) : scheduler_(scheduler), reporter_(reporter) {}
  virtual ~Authorizer() = default;
  Authorizer(const Authorizer&) = delete;
  Authorizer& operator=(const Authorizer&) = delete;

  // The caller with these headers, names in lower case, and this certificate (Caller::tls_identity). Null: they make
  // nobody, and the call ends with Unidentified().
  virtual SharedIdentity Identify(const Metadata& metadata, const std::string& tls_identity) const = 0;
  virtual absl::Status Unidentified() const = 0;

  // Finds out after this call has begun, never before, and calls `done` once, on the scheduler. `begun`, which may be
  // null, is called just before, without a lock held. With Grace::kLastKnown somebody who does not tell is answered for
  // by what was said before, where that is known of each question and covers what is to be shown.
  virtual void Check(const SharedIdentity& identity, const std::string& datacenter, std::vector<Question> questions,
                     Grace grace, absl::AnyInvocable<void()> begun, Done done) = 0;

  // What is known now, or was said within the grace, where that covers what is to be shown. Asks nobody.
  virtual std::optional<bool> LastKnown(const SharedIdentity& identity, const std::string& datacenter,
                                        const Question& question) = 0;

  // Whether the caller was found to be who it says it is, by whoever knows, within the last ten minutes, as far as is
  // remembered. Asks nobody.
  virtual bool Knows(const Identity& identity) { return false; }

  // False: nothing that the target can ever hold may be read by the caller, as far as is known without asking.
  virtual bool MayEverShow(const Identity& identity, const consul::Target& target) const { return true; }

  // Null: callers' own tokens go to Consul, which decides by itself about each write, and each read that goes to it.
  virtual WritePolicy* writes() { return nullptr; }

  metrics::AuthReporter* reporter() const { return reporter_; }
  Scheduler* scheduler() const { return scheduler_; }

 protected:
  // Counts what became of a check.
  void Report(const std::vector<bool>& allowed) const;

 private:
  Scheduler* const scheduler_;
  metrics::AuthReporter* const reporter_;
};

// UNAVAILABLE (PERMISSION_UNKNOWN), with when to come back.
absl::Status PermissionUnknown(const absl::Status& why);

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_AUTHORIZER_H_
