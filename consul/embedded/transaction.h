#ifndef MESHGATE_CONSUL_EMBEDDED_TRANSACTION_H_
#define MESHGATE_CONSUL_EMBEDDED_TRANSACTION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/embedded/catalog.h"
#include "consul/embedded/kv_table.h"
#include "consul/types.h"

namespace meshgate::consul::embedded {

// What is in memory, and on disk.
struct State {
  // Of the latest write of all.
  uint64_t index = 1;
  KvTable kv;
  Catalog catalog;
};

// A change of the state, as it is written to disk and then applied to memory.
struct PutEntry {
  SharedEntry entry;
};
struct EraseEntry {
  std::string key;
  uint64_t index;
};
struct PutInstance {
  SharedRecord record;
  // The one it replaces, with the same service, or null.
  SharedRecord previous;
  uint64_t index;
};
struct EraseInstance {
  SharedRecord record;
  uint64_t index;
};
struct ReapEntries {
  uint64_t floor;
};
struct ReapServices {
  uint64_t floor;
};
using Mutation = std::variant<PutEntry, EraseEntry, PutInstance, EraseInstance, ReapEntries, ReapServices>;

void Apply(const Mutation& mutation, State& state);

// Several writes that are committed together. Each sees what the ones before it did, though the state does not have it
// yet; one that fails leaves no trace. Effective writes get an index each, those that change nothing get none.
// Thread-compatible; the state must not change between construction and the last write.
class Transaction {
 public:
  explicit Transaction(const State* state) : state_(*state), index_(state->index) {}

  // The contract is Backend's. All errors are ABORTED (CAS_MISMATCH), NOT_FOUND and FAILED_PRECONDITION of its list.
  absl::StatusOr<SharedEntry> Put(KvEntry entry, std::optional<uint64_t> if_modify_index);
  absl::Status Delete(const std::string& key, std::optional<uint64_t> if_modify_index);
  void DeletePrefix(const std::string& prefix);
  // All of them with one index, or none. The entries of the puts, in order.
  absl::StatusOr<std::vector<SharedEntry>> Commit(const std::vector<KvOperation>& operations);

  // Checks of an instance that is registered again keep their status where the kind of their probe is the same, as
  // with Consul: registering again is no outage.
  void Register(std::shared_ptr<const Registration> registration);
  absl::Status Deregister(const std::string& id);
  absl::Status Heartbeat(const std::string& id, Health health, const std::string& note);

  // The result of a probe; dropped where `registration` is not the current one of its id any more.
  void SetStatus(const std::shared_ptr<const Registration>& registration, int position, Health health,
                 const std::string& output);
  // Deregisters an instance if `registration` is still the current one and that check still critical.
  void ReapCritical(const std::shared_ptr<const Registration>& registration, int position);

  // Forgets old tombstones where there are more than `limit`.
  void BoundTombstones(size_t limit);

  // Makes a commit worth while although nothing may change: whoever waits for it learns whether the disk works.
  void ForceCommit() { forced_ = true; }

  bool must_commit() const { return forced_ || !mutations_.empty(); }
  const std::vector<Mutation>& mutations() const { return mutations_; }
  // Of the latest write.
  uint64_t index() const { return index_; }

 private:
  SharedEntry FindEntry(const std::string& key) const;
  SharedRecord FindInstance(const std::string& id) const;
  // With an index above all, or with that of the write that they are a part of.
  absl::StatusOr<SharedEntry> PutAt(KvEntry entry, std::optional<uint64_t> if_modify_index, uint64_t index);
  absl::Status DeleteAt(const std::string& key, std::optional<uint64_t> if_modify_index, uint64_t index);
  void DeletePrefixAt(const std::string& prefix, uint64_t index);
  void EraseKey(const std::string& key, uint64_t index);
  // Every change of `entries_` goes through here.
  void Stage(const std::string& key, SharedEntry entry);
  void PutRecord(SharedRecord record, SharedRecord previous, uint64_t index);
  void EraseRecord(SharedRecord record, uint64_t index);
  void ChangeStatus(const SharedRecord& record, int position, Health health, const std::string& output);

  const State& state_;
  uint64_t index_;
  bool forced_ = false;
  std::vector<Mutation> mutations_;
  // What the mutations did so far; null means erased.
  std::map<std::string, SharedEntry> entries_;
  // What a commit in progress has replaced in `entries_`, to put it back; nothing stands for a key that was not there.
  struct Replaced {
    std::string key;
    std::optional<SharedEntry> entry;
  };
  bool committing_ = false;
  std::vector<Replaced> replaced_;
  std::unordered_map<std::string, SharedRecord> instances_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_TRANSACTION_H_
