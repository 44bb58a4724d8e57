#ifndef MESHGATE_SERVER_AUTH_PAIR_H_
#define MESHGATE_SERVER_AUTH_PAIR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/watch/hub.h"
#include "consul/watch/target.h"
#include "server/auth/authorizer.h"
#include "server/auth/contents.h"
#include "server/auth/identity.h"

namespace meshgate::server::auth {

// What one token may see of one target, for all of its streams: each message is asked about once, after it had come.
//
// What was shown is remembered, as numbers, so that a permission that is lost is told apart from one that never was:
// what never was visible is left out; where something that was is not any more the streams end, because leaving it out
// would look like a deletion. A pair that has ended stays so; the next stream makes another one. Thread-safe.
class Pair : public std::enable_shared_from_this<Pair> {
 public:
  // One stream.
  struct Stream {
    std::shared_ptr<consul::Wakeup> wakeup;
    // When it was opened, by Tick().
    uint64_t opened = 0;
    // It goes on from a state that it holds, which it was shown all of; until it is told of one.
    bool resumed = false;
    // It has been told something.
    bool established = false;
  };

  struct Verdict {
    // Otherwise how the stream ends.
    absl::Status status;
    // In place of the message that was asked about; null: that one itself.
    consul::SharedMessage message;
    // Nothing of what it told is left, and it was no snapshot.
    bool empty = false;
    bool stale = false;
    // It told of a state.
    bool known = false;
  };

  // `hub` and `authorizer` outlive it.
  Pair(consul::Hub* hub, Authorizer* authorizer, SharedIdentity identity, consul::Target target, consul::View view);

  // Orders what happens among streams and questions. Never 0.
  static uint64_t Tick();

  void Join(const Stream* stream);
  // Returns whether it was the last one.
  bool Leave(const Stream* stream);

  // Not OK: how its streams end, whatever else there is. Cheap.
  absl::Status ended();
  // It has ended by a question from before the stream, which says nothing of that.
  bool OutlivedBy(const Stream& stream);

  // Whether the stream may begin, before anything is read for it. Nothing: as for Decide().
  std::optional<absl::Status> Admit(const Stream& stream);

  // What becomes of `message`, which the stream is to be told. Nothing: not known yet, and the stream's subscriber is
  // woken when it may be.
  std::optional<Verdict> Decide(const consul::SharedMessage& message, const Stream& stream);

  // Asks again about what streams have been shown, some of it at a time. Silence is no answer.
  void Recheck();
  // The same about all of it, for what callers may do has changed. Answers to what was asked before this don't count
  // for it: it is done once more after the last of them.
  void RecheckAll();

 private:
  struct Inquiry;
  // Numbers of parts.
  using Hidden = absl::flat_hash_set<size_t>;
  // Each once, however often it waits.
  using Wakes = absl::flat_hash_set<std::shared_ptr<consul::Wakeup>>;

  // Null for the admission of a stream.
  std::optional<Verdict> Find(const consul::SharedMessage& message, const Stream& stream);
  // Asks about the message, and the names in `held`, which a stream that goes on was shown.
  void Ask(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message);
  void AskToAdmit(const std::shared_ptr<Inquiry>& inquiry);
  void AskWith(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message, Contents contents,
               std::vector<Part> held);
  void OnAnswer(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message, const Contents& contents,
                const std::vector<Part>& held, absl::StatusOr<std::vector<bool>> allowed);
  void Conclude(const std::shared_ptr<Inquiry>& inquiry, Verdict verdict);
  // Adds the parts to be left out; an error ends the streams.
  absl::Status JudgeLocked(const Contents& contents, const std::vector<Part>& held, bool resumed,
                           const std::vector<bool>& allowed, Hidden* hidden) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RecheckSome(size_t most);
  void OnState(const consul::CachedState& cached, size_t most);
  void OnRechecked(uint64_t begun, const std::vector<std::string>& names, absl::StatusOr<std::vector<bool>> allowed);
  // By what was asked at `begun`.
  void EndLocked(absl::Status status, uint64_t begun, Wakes* wakes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RetryLaterLocked(const Stream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnRetry();
  void DropOldLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void WakeAll(const Wakes& wakes);

  consul::Permission PermissionOf(const std::string& part) const;
  size_t NumberOf(const std::string& part) const;
  std::vector<Part> PartsSeen(const consul::CachedState& cached) const;
  bool WholeCountsLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  consul::Hub* const hub_;
  Authorizer* const authorizer_;
  const SharedIdentity identity_;
  const consul::Target target_;
  const consul::View view_;
  const bool narrowed_;

  Mutex mu_;
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
  uint64_t ended_by_ ABSL_GUARDED_BY(mu_) = 0;
  std::atomic<bool> has_ended_{false};
  absl::flat_hash_set<const Stream*> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Inquiry>> inquiries_ ABSL_GUARDED_BY(mu_);
  Wakes retry_ ABSL_GUARDED_BY(mu_);
  bool retry_armed_ ABSL_GUARDED_BY(mu_) = false;
  // Numbers of the parts that streams hold.
  absl::flat_hash_set<size_t> shown_ ABSL_GUARDED_BY(mu_);
  // Something is left out, so that no resume token says what a stream holds.
  bool partial_ ABSL_GUARDED_BY(mu_) = false;
  size_t next_recheck_ ABSL_GUARDED_BY(mu_) = 0;
  bool rechecking_ ABSL_GUARDED_BY(mu_) = false;
  // All of it was asked for while some was being looked at.
  bool recheck_again_ ABSL_GUARDED_BY(mu_) = false;
  // When all of it was last asked for, by Tick().
  uint64_t recheck_all_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_PAIR_H_
