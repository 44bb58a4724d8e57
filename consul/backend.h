// The seam between meshgate and whatever holds the data: a real Consul (consul/http) or the embedded store
// (consul/embedded). The comments are the contract; tests/integration/backend_conformance.h holds both to it.
#ifndef MESHGATE_CONSUL_BACKEND_H_
#define MESHGATE_CONSUL_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/types.h"

namespace meshgate::consul {

enum class ReadMode {
  // The leader answers from its state.
  kDefault,
  // The leader asks a quorum first.
  kConsistent,
  // Any server; may be behind. Never used for watching.
  kStale,
};

// The ACL token that a call is made with: absent is the backend's own, empty is none at all, so that Consul decides by
// what it lets anybody do. A secret: it is sent, and neither kept nor said.
using CallToken = std::optional<std::string>;

struct ReadOptions {
  ReadMode mode = ReadMode::kDefault;
  // Empty: the agent's own.
  std::string datacenter;
  // 0: answers at once. Otherwise a blocking query: answers when the index of what is read has passed this one, or when
  // `wait` has passed (plus up to a sixteenth of it), or early for no reason.
  uint64_t index = 0;
  // Only with an index: at most 10 minutes, and zero means 5 minutes.
  absl::Duration wait;
  // For the whole call, on top of `wait`. The call then fails with DEADLINE_EXCEEDED.
  absl::Duration timeout = absl::Seconds(10);
  // While the store is known to be away, waits for its return, for at most 10 minutes before `timeout` begins, in place
  // of failing at once. For those who would only ask again: when it is back, thousands of such reads go out at a rate
  // that it bears.
  bool patient = false;
  // An answer that is larger on its way may be refused with RESOURCE_EXHAUSTED (ANSWER_TOO_LARGE). 0: the backend's own
  // limit.
  size_t max_bytes = 0;
  CallToken token;
};

struct AnswerMeta {
  // To block on next. Absent where the answer carried none, or one that must not be used.
  std::optional<uint64_t> index;
  bool known_leader = true;
  // Age of a server's data when it is not the leader's.
  absl::Duration last_contact;
  // When the answer had arrived, on the Scheduler's clock.
  absl::Time received;
};

template <typename T>
struct Answer {
  T value;
  AnswerMeta meta;
};

struct WriteOptions {
  std::string datacenter;
  absl::Duration timeout = absl::Seconds(10);
  CallToken token;
};

// Whether something that an answer did not hold, and earlier ones did, is really gone.
enum class Presence {
  // There is no such thing.
  kGone,
  // It is there.
  kExists,
  // The backend's token may not look: nothing is known.
  kHidden,
};

// State of the store as a whole, for readiness and metrics.
struct BackendHealth {
  bool known_leader = false;
  // How old the data of the server that answered may be.
  absl::Duration last_contact;
};

// A call in progress. Dropping the handle does not cancel the call.
class Call {
 public:
  virtual ~Call() = default;
  // Best effort: the callback then runs soon, with CANCELLED unless an answer was already on its way. Thread-safe,
  // idempotent. Cancelling a blocking query may cost Consul a connection slot until its wait ends: don't do it
  // casually.
  virtual void Cancel() = 0;
};
using CallHandle = std::shared_ptr<Call>;

// Reads, watches and writes one Consul.
//
// Every method returns at once, never blocks and may be called from any thread. Its callback runs exactly once, on the
// Scheduler that the backend was made with, never inside the call, concurrently with others; it must not block.
//
// Arguments are valid as consul/validate.h checks them. Errors are absl::Status with a reason of consul/base/errors.h:
//   - NOT_FOUND: no such instance, no such datacenter. A missing key or service is an empty answer, not an error.
//   - INVALID_ARGUMENT: the filter does not parse; the store refused an argument.
//   - FAILED_PRECONDITION: the instance has no TTL check.
//   - ABORTED: compare-and-set failed.
//   - UNAUTHENTICATED, PERMISSION_DENIED: of the token that the call was made with.
//   - RESOURCE_EXHAUSTED: the agent's limit of connections was hit; too many writes wait for the store's disk; an
//   answer
//     was larger than its read allows.
//   - UNAVAILABLE: the store is away, has no leader, or its disk refused a write (STORAGE_FAILED), which then changed
//     nothing. For a write without a clear answer: WRITE_OUTCOME_UNKNOWN, it may have been applied.
//   - DATA_LOSS: the store's file turned out to be damaged (STORAGE_FAILED).
//   - DEADLINE_EXCEEDED: `timeout` has passed. For a write that was sent the message says that it may have been
//   applied.
//   - INTERNAL: the answer was not one that Consul gives.
//   - CANCELLED: Cancel(), or the backend is shutting down.
class Backend {
 public:
  template <typename T>
  using Callback = absl::AnyInvocable<void(absl::StatusOr<T>)>;
  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Backend() = default;

  // Ends every call in progress with CANCELLED; later ones fail the same way. Returns when no callback of this backend
  // is running or will run any more. Idempotent; not to be called from a callback.
  virtual void Shutdown() = 0;

  // Blocking queries that can wait at a time; those beyond it queue, at the cost of their timeout. Reads that don't
  // block don't count. May change when the first answers come. Where it is below kScarce, each one holds a connection
  // that cancelling doesn't free before its wait ends; where it is kUnlimited they cost next to nothing. Cheap.
  static constexpr int kScarce = 1000;
  static constexpr int kUnlimited = std::numeric_limits<int>::max();
  virtual int MaxBlockingQueries() const { return kUnlimited; }

  // ---- Reads. All may block on an index.

  // One entry, or none.
  virtual CallHandle ReadKey(const std::string& key, const ReadOptions& options,
                             Callback<Answer<std::vector<KvEntry>>> done) = 0;

  // Every entry whose key begins with `prefix` (a string prefix: "cfg/n" matches "cfg/new"; empty means all), in byte
  // order of the keys.
  virtual CallHandle ReadPrefix(const std::string& prefix, const ReadOptions& options,
                                Callback<Answer<std::vector<KvEntry>>> done) = 0;

  // Every instance of a service, healthy or not, for which `filter` holds (a Consul filter expression over the entries
  // of its health endpoint; empty: all). Sorted by (node, id) or, where `near` is a node's name or "_agent", by network
  // distance from it. A service that does not exist has no instances.
  virtual CallHandle ReadService(const std::string& service, const std::string& filter, const std::string& near,
                                 const ReadOptions& options, Callback<Answer<std::vector<Instance>>> done) = 0;

  // The services of the catalog, by name.
  virtual CallHandle ReadCatalog(const ReadOptions& options, Callback<Answer<std::vector<ServiceSummary>>> done) = 0;

  // What Consul's HTTP API answers to a GET of `query`, a path with the parameters that say what is read, such as
  // "/v1/health/service/web?passing". Only answers that carry an index. UNIMPLEMENTED where the store does not speak
  // that API.
  virtual CallHandle ReadQuery(const std::string& query, const ReadOptions& options,
                               Callback<Answer<QueryAnswer>> done) = 0;

  // ---- Confirming that something is gone.
  //
  // Consul leaves out of lists what the token may not read, without a word and without an index that moves: a policy
  // that was narrowed looks like a deletion. Whoever is about to tell somebody of a deletion asks here first, for each
  // name that a recursive read or a service's instances have lost. (A read of a single key needs no such question: it
  // fails with PERMISSION_DENIED.)
  //
  // The answer has an element for each name, in order: how it is at some moment after the call. Only kGone confirms a
  // deletion. With anything else keep what was there and read again, without an index, for nothing may wake a blocking
  // query; later, and seldom, where it is kHidden, because that lasts until somebody changes the policy. An error
  // confirms nothing; UNAUTHENTICATED is a token that was deleted. Neither a mode nor an index of `options` counts.
  // Any number of names; the backend sees to it that one call takes one connection at a time.

  virtual CallHandle ConfirmKeysGone(const std::vector<std::string>& keys, const ReadOptions& options,
                                     Callback<std::vector<Presence>> done) = 0;

  // An instance that is registered for another service by now is gone, and one that is there but may not be read
  // kHidden. One that is known not to be registered is kGone even if it could not be read.
  virtual CallHandle ConfirmInstancesGone(const std::string& service, const std::vector<InstanceName>& instances,
                                          const ReadOptions& options, Callback<std::vector<Presence>> done) = 0;

  // ---- Access control.

  // Whether the token of `options` has each of the permissions, in order: how it is at some moment after the call.
  // UNAUTHENTICATED (TOKEN_UNKNOWN): nobody knows the token. Neither a mode nor an index of `options` counts. Any
  // number of permissions; at most 64 are one question to Consul, of keys and of others apart.
  //
  // Keys are asked about where they are kept, and so is whether the token is there at all. What it may do about
  // services and nodes an agent that is no server may answer from what it has cached, for as long as its
  // acl.policy_ttl, 30 s.
  virtual CallHandle Authorize(const std::vector<Permission>& permissions, const ReadOptions& options,
                               Callback<std::vector<bool>> done) = 0;

  // ---- Writes.

  // Creates or replaces an entry. `if_modify_index`: absent writes always, 0 only creates, otherwise only if the
  // entry's modify_index still equals it. Returns the entry without its value and with its indexes; both are 0 where
  // somebody else had replaced it again before they could be read. Writing what is there already changes nothing.
  virtual CallHandle PutKey(const KvEntry& entry, std::optional<uint64_t> if_modify_index, const WriteOptions& options,
                            Callback<KvEntry> done) = 0;

  // Succeeds where there is no such key, with `if_modify_index` too. 0 means "only if it does not exist" and so never
  // deletes: an existing key then fails with ABORTED.
  virtual CallHandle DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index,
                               const WriteOptions& options, DoneCallback done) = 0;

  // Deletes every key that begins with `prefix`, which is not empty, atomically.
  virtual CallHandle DeletePrefix(const std::string& prefix, const WriteOptions& options, DoneCallback done) = 0;

  // Applies the operations in order, each seeing what those before it did, as one write with one index: all or none.
  // A key may occur more than once. 1 to 64 operations, within kMaxCommitBytes. Returns an entry for each put, in
  // their order, without its value and with its indexes. When an operation fails the message begins with which,
  // "operations[3]: ", counted from 0, the first one where Consul reports several.
  virtual CallHandle Commit(const std::vector<KvOperation>& operations, const WriteOptions& options,
                            Callback<std::vector<KvEntry>> done) = 0;

  // Adds an instance with its checks, or replaces the one with the same id and all its checks.
  virtual CallHandle Register(const Registration& registration, const WriteOptions& options, DoneCallback done) = 0;

  // NOT_FOUND (INSTANCE_NOT_FOUND) when there is no such instance.
  virtual CallHandle Deregister(const std::string& id, const WriteOptions& options, DoneCallback done) = 0;

  // Reports the health of an instance's TTL check; kMaintenance is not reportable this way. `note` is shown to humans.
  // NOT_FOUND (INSTANCE_NOT_FOUND) when there is no such instance, which also happens after an agent's restart;
  // FAILED_PRECONDITION (NO_TTL_CHECK) when it has no TTL check.
  virtual CallHandle Heartbeat(const std::string& id, Health health, const std::string& note,
                               const WriteOptions& options, DoneCallback done) = 0;

  // ---- The store itself.

  // Whether it answers and has a leader.
  virtual CallHandle CheckHealth(absl::Duration timeout, Callback<BackendHealth> done) = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_BACKEND_H_
