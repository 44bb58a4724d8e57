#ifndef MESHGATE_SERVER_AUTH_GUARD_H_
#define MESHGATE_SERVER_AUTH_GUARD_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/watch/hub.h"
#include "server/auth/authorizer.h"
#include "server/auth/identity.h"
#include "server/auth/pair.h"
#include "server/auth/permissions.h"

namespace meshgate::server::auth {

struct GuardOptions {
  // How long after it was asked about a stream that idles it is asked again, give or take a tenth.
  absl::Duration recheck = absl::Seconds(30);
  // Pairs of a token and a target at most; where there are more they are asked about less often.
  int rechecks_per_second = 50;
};

// Stands between what is done with the gateway's own token, reading for the hub above all, and callers: nothing that
// the hub reads reaches a caller before the authorizer has said, after it had come, that the caller may read it. Where
// Consul says what callers may do, "Consul" below is what says so; otherwise it is the authorizer itself. Thread-safe;
// never blocks.
class Guard {
 public:
  // All outlive the guard. The backend is shut down, and the scheduler stopped, before it is destroyed.
  Guard(consul::Hub* hub, Scheduler* scheduler, std::unique_ptr<Authorizer> authorizer, const GuardOptions& options,
        uint64_t seed = std::random_device()());
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // As Authorizer's.
  SharedIdentity Identify(const Authorizer::Metadata& metadata, const std::string& tls_identity) const {
    return authorizer_->Identify(metadata, tls_identity);
  }
  absl::Status Unidentified() const { return authorizer_->Unidentified(); }

  // Whether nobody else decides about what callers write and read directly: their calls go to Consul with the gateway's
  // own token. What is read for them then has to go through Admit() and Filter(), too.
  bool decides() const { return authorizer_->writes() != nullptr; }

  // As Authorizer's.
  bool Knows(const Identity& identity) { return authorizer_->Knows(identity); }

  // As Hub::Subscribe(), which is called, in Next(), once Consul has said that the token may read of the target, or, of
  // a prefix, that it is there: strangers start no query. A resume token counts where nothing narrows down what is
  // shown of a service. Its Next() gives what the caller may read alone, and ends the stream with UNAUTHENTICATED
  // (TOKEN_UNKNOWN), PERMISSION_DENIED or, where nothing was given yet and Consul does not tell, UNAVAILABLE
  // (PERMISSION_UNKNOWN).
  std::unique_ptr<consul::Subscription> Subscribe(const SharedIdentity& identity, const consul::Target& target,
                                                  const consul::View& view, std::optional<consul::ResumeToken> resume,
                                                  consul::Subscriber* subscriber);

  // Whether the hub may be asked for what the caller wants to read, as for Subscribe(). Says nothing of what it
  // answers.
  void Admit(const SharedIdentity& identity, const consul::Target& target, absl::AnyInvocable<void(absl::Status)> done);

  // What of a list is wanted.
  struct Page {
    // What is behind this key.
    std::string after;
    // So many that may be read, at least, and one more where there is one. 0: all.
    size_t limit = 0;
  };

  // What the caller may read of a state of the hub's; PERMISSION_DENIED where that is nothing. Of a list no more is
  // asked about than the page takes. Never inside the call.
  void Filter(const SharedIdentity& identity, const consul::Target& target, const consul::CachedState& cached,
              const Page& page, absl::AnyInvocable<void(absl::StatusOr<consul::SharedState>)> done);

  // Whether the caller may know that there is nothing: Consul leaves out of lists what a token may not read. As
  // Filter() would have it, as far as the hub tells.
  void ConfirmEmpty(const SharedIdentity& identity, const consul::Target& target,
                    absl::AnyInvocable<void(absl::Status)> done);

  // Whether the caller is still somebody, for what was read with its own token some time ago: UNAUTHENTICATED
  // (TOKEN_UNKNOWN) where that is gone. Says nothing of what it may read.
  void ConfirmKnown(const SharedIdentity& identity, const std::string& datacenter,
                    absl::AnyInvocable<void(absl::Status)> done);

  // Whether the caller may make this write. OK where Consul decides about that.
  absl::Status MayWriteKey(const SharedIdentity& identity, const KeyWrite& write) const;

  // Whether the caller may register and deregister instances of all these services and, where nobody else decides about
  // that, the instance that is registered with this id already, which is looked up within `timeout`. NOT_FOUND
  // (INSTANCE_NOT_FOUND) where no service is given and there is none.
  void MayWriteInstance(const SharedIdentity& identity, const std::string& id, std::vector<std::string> services,
                        absl::Duration timeout, absl::AnyInvocable<void(absl::Status)> done);

  // For as long as the result lives, `lost` is told once, on any thread, when RecheckAll() finds that the caller may
  // not write all of these services any more. Null where Consul decides, and refuses the next heartbeat.
  class Registration;
  std::shared_ptr<Registration> WhileMayWrite(const SharedIdentity& identity, std::vector<std::string> services,
                                              absl::AnyInvocable<void(absl::Status)> lost);

  // What these callers may do has changed, as the authorizer knows already: ends what may not go on, some streams at a
  // time. From here on nothing is told on an answer from before.
  void RecheckAll(const std::function<bool(const Identity&)>& concerns);

 private:
  class Guarded;
  struct Filtering;
  using StatusDone = absl::AnyInvocable<void(absl::Status)>;
  using PairKey = std::tuple<Hash128, consul::Target, consul::View>;
  using Due = std::multimap<absl::Time, std::shared_ptr<Pair>>;

  void StartFiltering(std::unique_ptr<Filtering> filtering);
  void FilterMore(std::unique_ptr<Filtering> filtering);
  std::shared_ptr<Pair> PairOf(const SharedIdentity& identity, const consul::Target& target, const consul::View& view,
                               const Pair::Stream* stream);
  void Leave(const PairKey& key, const std::shared_ptr<Pair>& pair, const Pair::Stream* stream);
  void RecheckLaterLocked(const std::shared_ptr<Pair>& pair) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer();
  void LookAtSome();
  void CheckServices(const SharedIdentity& identity, const std::vector<std::string>& services, StatusDone done);
  void RecheckRegistration(const std::weak_ptr<Registration>& registration,
                           const std::function<bool(const Identity&)>& concerns);

  consul::Hub* const hub_;
  Scheduler* const scheduler_;
  const GuardOptions options_;
  const std::unique_ptr<Authorizer> authorizer_;

  Mutex mu_;
  absl::flat_hash_map<PairKey, std::shared_ptr<Pair>> pairs_ ABSL_GUARDED_BY(mu_);
  // Those that have streams, by when they are asked about again.
  Due due_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const Pair*, Due::iterator> due_of_ ABSL_GUARDED_BY(mu_);
  // Those that are to be looked at because of a change, and whether that is under way.
  std::deque<std::weak_ptr<Pair>> changed_ ABSL_GUARDED_BY(mu_);
  bool looking_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<const Registration*, std::weak_ptr<Registration>> registrations_ ABSL_GUARDED_BY(mu_);
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;
  std::minstd_rand random_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_GUARD_H_
