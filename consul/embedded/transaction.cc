#include "consul/embedded/transaction.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul::embedded {
namespace {

absl::Status CasMismatch(const std::string& what) {
  return MakeError(absl::StatusCode::kAborted, reason::kCasMismatch, what + "; read it again before trying again");
}

// The error of one operation of a commit.
absl::Status InOperation(size_t position, const absl::Status& status) {
  return MakeError(status.code(), ReasonOf(status), absl::StrCat("operations[", position, "]: ", status.message()));
}

absl::Status NoSuchInstance() {
  return MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "no instance with this id is registered");
}

}  // namespace

void Apply(const Mutation& mutation, State& state) {
  struct Visitor {
    State& state;
    void operator()(const PutEntry& m) {
      state.index = m.entry->modify_index;
      state.kv.Put(m.entry);
    }
    void operator()(const EraseEntry& m) {
      state.index = m.index;
      state.kv.Erase(m.key, m.index);
    }
    void operator()(const PutInstance& m) {
      state.index = m.index;
      state.catalog.Put(m.record, m.index);
    }
    void operator()(const EraseInstance& m) {
      state.index = m.index;
      state.catalog.Erase(m.record->registration->id, m.index);
    }
    void operator()(const ReapEntries& m) { state.kv.tombstones().ReapTo(m.floor); }
    void operator()(const ReapServices& m) { state.catalog.ReapTo(m.floor); }
  };
  std::visit(Visitor{state}, mutation);
}

absl::StatusOr<SharedEntry> Transaction::Put(KvEntry entry, std::optional<uint64_t> if_modify_index) {
  return PutAt(std::move(entry), if_modify_index, index_ + 1);
}

absl::Status Transaction::Delete(const std::string& key, std::optional<uint64_t> if_modify_index) {
  return DeleteAt(key, if_modify_index, index_ + 1);
}

void Transaction::DeletePrefix(const std::string& prefix) { DeletePrefixAt(prefix, index_ + 1); }

absl::StatusOr<std::vector<SharedEntry>> Transaction::Commit(const std::vector<KvOperation>& operations) {
  struct Visitor {
    Transaction& transaction;
    const uint64_t index;
    std::vector<SharedEntry>& written;

    absl::Status operator()(const PutOperation& put) {
      auto entry = transaction.PutAt(put.entry, put.if_modify_index, index);
      if (entry.ok()) written.push_back(*std::move(entry));
      return std::move(entry).status();
    }
    absl::Status operator()(const DeleteKeyOperation& remove) {
      return transaction.DeleteAt(remove.key, remove.if_modify_index, index);
    }
    absl::Status operator()(const DeletePrefixOperation& remove) {
      transaction.DeletePrefixAt(remove.prefix, index);
      return absl::OkStatus();
    }
  };
  const uint64_t index_before = index_;
  const size_t mutations_before = mutations_.size();
  std::vector<SharedEntry> written;
  Visitor visitor{*this, index_ + 1, written};
  absl::Status failed;
  committing_ = true;
  for (size_t i = 0; i < operations.size() && failed.ok(); ++i) {
    if (absl::Status status = std::visit(visitor, operations[i]); !status.ok()) failed = InOperation(i, status);
  }
  committing_ = false;
  std::vector<Replaced> replaced = std::exchange(replaced_, {});
  if (failed.ok()) return written;
  for (auto it = replaced.rbegin(); it != replaced.rend(); ++it) {
    if (it->entry.has_value()) {
      entries_[it->key] = *std::move(it->entry);
    } else {
      entries_.erase(it->key);
    }
  }
  mutations_.resize(mutations_before, ReapEntries{});
  index_ = index_before;
  return failed;
}

absl::StatusOr<SharedEntry> Transaction::PutAt(KvEntry entry, std::optional<uint64_t> if_modify_index, uint64_t index) {
  const SharedEntry old = FindEntry(entry.key);
  if (if_modify_index == 0 && old) return CasMismatch("the key exists");
  if (if_modify_index.value_or(0) != 0) {
    if (!old) return CasMismatch("the key does not exist any more");
    if (old->modify_index != *if_modify_index) return CasMismatch("the entry was modified");
  }
  if (old && old->value == entry.value && old->flags == entry.flags) return old;
  entry.modify_index = index_ = index;
  entry.create_index = old ? old->create_index : entry.modify_index;
  auto shared = std::make_shared<const KvEntry>(std::move(entry));
  Stage(shared->key, shared);
  mutations_.push_back(PutEntry{shared});
  return SharedEntry(shared);
}

absl::Status Transaction::DeleteAt(const std::string& key, std::optional<uint64_t> if_modify_index, uint64_t index) {
  const SharedEntry old = FindEntry(key);
  if (!old) return absl::OkStatus();
  if (if_modify_index && *if_modify_index != old->modify_index) {
    return CasMismatch(*if_modify_index == 0 ? "the key exists" : "the entry was modified");
  }
  EraseKey(key, index);
  return absl::OkStatus();
}

void Transaction::DeletePrefixAt(const std::string& prefix, uint64_t index) {
  std::vector<std::string> keys;
  for (const SharedEntry& entry : state_.kv.FindBelow(prefix)) {
    if (FindEntry(entry->key)) keys.push_back(entry->key);
  }
  for (auto it = entries_.lower_bound(prefix); it != entries_.end() && it->first.compare(0, prefix.size(), prefix) == 0;
       ++it) {
    if (it->second && !state_.kv.Find(it->first)) keys.push_back(it->first);
  }
  for (const std::string& key : keys) EraseKey(key, index);
}

void Transaction::Register(std::shared_ptr<const Registration> registration) {
  SharedRecord old = FindInstance(registration->id);
  const bool same_instance = old && SameInstance(*old->registration, *registration);
  if (same_instance && SameChecks(*old->registration, *registration)) return;
  ++index_;
  auto record = std::make_shared<InstanceRecord>();
  record->create_index = old ? old->create_index : index_;
  record->modify_index = same_instance ? old->modify_index : index_;
  for (size_t i = 0; i < registration->checks.size(); ++i) {
    const CheckDefinition& check = registration->checks[i];
    const bool keep =
        old && i < old->checks.size() && old->registration->checks[i].probe.index() == check.probe.index();
    record->checks.push_back(keep ? old->checks[i] : CheckStatus{check.initial_status, ""});
  }
  record->registration = std::move(registration);
  if (old && old->registration->service != record->registration->service) {
    EraseRecord(old, index_);
    old = nullptr;
  }
  PutRecord(std::move(record), std::move(old), index_);
}

absl::Status Transaction::Deregister(const std::string& id) {
  const SharedRecord record = FindInstance(id);
  if (!record) return NoSuchInstance();
  EraseRecord(record, ++index_);
  return absl::OkStatus();
}

absl::Status Transaction::Heartbeat(const std::string& id, Health health, const std::string& note) {
  const SharedRecord record = FindInstance(id);
  if (!record) return NoSuchInstance();
  const int position = TtlPosition(*record->registration);
  if (position < 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kNoTtlCheck,
                     "the instance has no TTL check; register it with one to report its health");
  }
  ChangeStatus(record, position, health, note);
  return absl::OkStatus();
}

void Transaction::SetStatus(const std::shared_ptr<const Registration>& registration, int position, Health health,
                            const std::string& output) {
  const SharedRecord record = FindInstance(registration->id);
  if (record && record->registration == registration) ChangeStatus(record, position, health, output);
}

void Transaction::ReapCritical(const std::shared_ptr<const Registration>& registration, int position) {
  const SharedRecord record = FindInstance(registration->id);
  if (!record || record->registration != registration) return;
  if (record->checks[position].health == Health::kCritical) EraseRecord(record, ++index_);
}

void Transaction::BoundTombstones(size_t limit) {
  // Half of them, so that it happens seldom.
  if (state_.kv.tombstones().size() > limit) {
    mutations_.push_back(ReapEntries{state_.kv.tombstones().FloorToKeep(limit / 2)});
  }
  if (state_.catalog.tombstones().size() > limit) {
    mutations_.push_back(ReapServices{state_.catalog.tombstones().FloorToKeep(limit / 2)});
  }
}

SharedEntry Transaction::FindEntry(const std::string& key) const {
  auto it = entries_.find(key);
  return it != entries_.end() ? it->second : state_.kv.Find(key);
}

SharedRecord Transaction::FindInstance(const std::string& id) const {
  auto it = instances_.find(id);
  return it != instances_.end() ? it->second : state_.catalog.Find(id);
}

void Transaction::EraseKey(const std::string& key, uint64_t index) {
  index_ = index;
  Stage(key, nullptr);
  mutations_.push_back(EraseEntry{key, index});
}

void Transaction::Stage(const std::string& key, SharedEntry entry) {
  const auto [slot, is_new] = entries_.try_emplace(key);
  if (committing_) replaced_.push_back({key, is_new ? std::nullopt : std::make_optional(std::move(slot->second))});
  slot->second = std::move(entry);
}

void Transaction::PutRecord(SharedRecord record, SharedRecord previous, uint64_t index) {
  instances_[record->registration->id] = record;
  mutations_.push_back(PutInstance{std::move(record), std::move(previous), index});
}

void Transaction::EraseRecord(SharedRecord record, uint64_t index) {
  instances_[record->registration->id] = nullptr;
  mutations_.push_back(EraseInstance{std::move(record), index});
}

void Transaction::ChangeStatus(const SharedRecord& record, int position, Health health, const std::string& output) {
  if (record->checks[position].health == health) return;
  auto changed = std::make_shared<InstanceRecord>(*record);
  changed->checks[position] = CheckStatus{health, output};
  PutRecord(std::move(changed), record, ++index_);
}

}  // namespace meshgate::consul::embedded
