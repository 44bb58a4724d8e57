#ifndef MESHGATE_SERVER_AUTH_CONSUL_AUTHORIZER_H_
#define MESHGATE_SERVER_AUTH_CONSUL_AUTHORIZER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "metrics/auth_reporter.h"
#include "server/auth/authorizer.h"
#include "server/auth/identity.h"
#include "server/auth/keyed_hash.h"

namespace meshgate::server::auth {

struct ConsulAuthorizerOptions {
  // For so long after Consul was asked, what it said stands while it can't be asked again.
  absl::Duration grace = absl::Seconds(60);
  // For one question to Consul.
  absl::Duration timeout = absl::Seconds(10);
  // Answers that are remembered for the grace; beyond it the token that has most of them loses half, and its callers
  // have to wait for Consul.
  size_t max_remembered = 200'000;
};

// Asks Consul what callers may do: with their own tokens, never with the gateway's.
//
// The questions of one token are asked one after the other, and what comes while one is under way is asked together, so
// that a change costs each token one question. Thread-safe; never blocks.
class ConsulAuthorizer final : public Authorizer {
 public:
  // All outlive the authorizer, and the backend is shut down before that is destroyed.
  ConsulAuthorizer(consul::Backend* backend, Scheduler* scheduler, metrics::AuthReporter* reporter,
                   const ConsulAuthorizerOptions& options);

  // The caller with this token: `x-consul-token`, or else `authorization: Bearer TOKEN`; neither is a caller without
  // one. Null: what no token can be.
  SharedIdentity Identify(const Metadata& metadata, const std::string& tls_identity) const override;
  absl::Status Unidentified() const override;

  // UNAUTHENTICATED (TOKEN_UNKNOWN): Consul does not know the token.
  void Check(const SharedIdentity& identity, const std::string& datacenter, std::vector<Question> questions,
             Grace grace, absl::AnyInvocable<void()> begun, Done done) override;
  std::optional<bool> LastKnown(const SharedIdentity& identity, const std::string& datacenter,
                                const Question& question) override;
  bool Knows(const Identity& identity) override;

 private:
  using QueueKey = std::pair<Hash128, std::string>;
  struct Asked {
    std::vector<Question> questions;
    Grace grace;
    absl::AnyInvocable<void()> begun;
    Done done;
  };
  // Of one token in one datacenter. Erased when nothing is left.
  struct Queue {
    SharedIdentity identity;
    std::deque<Asked> waiting;
    bool asking = false;
  };
  struct Remembered {
    absl::Time asked;
    // Of the latest that was shown on its account.
    uint64_t index = 0;
    bool allowed = false;
  };
  struct OfToken {
    absl::flat_hash_map<Hash128, Remembered> answers;
    // When Consul was last asked and did.
    absl::Time known = absl::InfinitePast();
    // When Consul was last asked and did not know it: what it said of it before is void.
    absl::Time unknown = absl::InfinitePast();
  };
  using Batch = std::vector<Asked>;

  void Pump();
  void OnAnswer(const QueueKey& key, const SharedIdentity& identity, absl::Time asked, Batch batch,
                absl::StatusOr<std::vector<bool>> allowed);
  void Conclude(const SharedIdentity& identity, const std::string& datacenter, absl::Time asked, Asked one,
                absl::StatusOr<std::vector<bool>> allowed);

  Hash128 KeyOf(const Identity& identity, const std::string& datacenter, const consul::Permission& permission) const;
  void Remember(const Identity& identity, const std::string& datacenter, absl::Time asked,
                const std::vector<Question>& questions, const std::vector<bool>& allowed);
  void OnUnknownLocked(const Identity& identity, absl::Time asked) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetSome() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nothing: not known of each of them.
  std::optional<std::vector<bool>> Recall(const Identity& identity, const std::string& datacenter,
                                          const std::vector<Question>& questions);

  consul::Backend* const backend_;
  const ConsulAuthorizerOptions options_;
  const KeyedHash hash_;

  Mutex mu_;
  absl::flat_hash_map<QueueKey, Queue> queues_ ABSL_GUARDED_BY(mu_);
  // Those that wait, and for whom nothing is under way.
  std::deque<QueueKey> ready_ ABSL_GUARDED_BY(mu_);
  int asking_ ABSL_GUARDED_BY(mu_) = 0;
  // Tokens that Consul has known within the grace; what others try takes no room.
  absl::flat_hash_map<Hash128, OfToken> remembered_ ABSL_GUARDED_BY(mu_);
  size_t remembered_answers_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_CONSUL_AUTHORIZER_H_
