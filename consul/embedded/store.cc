#include "consul/embedded/store.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/embedded/registration_codec.h"
#include "consul/embedded/store_open.h"

namespace meshgate::consul::embedded {
namespace {

constexpr uint64_t kKeyKind = 0;
constexpr uint64_t kServiceKind = 1;

absl::Status Senseless(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, reason::kStorage,
                   absl::StrCat("the database holds ", std::string(what), "; restore a backup"));
}

bool OnlyDeletes(const Mutation& mutation) {
  return !std::holds_alternative<PutEntry>(mutation) && !std::holds_alternative<PutInstance>(mutation);
}

}  // namespace

struct Store::Statements {
  Statement begin, commit, rollback, set_meta, put_entry, erase_entry, put_change, erase_change, reap_keys,
      reap_services, put_instance, erase_instance, put_check, erase_checks;

  static absl::StatusOr<std::unique_ptr<Statements>> Prepare(sqlite3* db) {
    absl::Status failed;
    const auto prepare = [&](const char* sql) -> std::optional<Statement> {
      auto statement = Statement::Prepare(db, sql);
      if (statement.ok()) return *std::move(statement);
      failed = statement.status();
      return std::nullopt;
    };
    auto begin = prepare("BEGIN IMMEDIATE");
    auto commit = prepare("COMMIT");
    auto rollback = prepare("ROLLBACK");
    auto set_meta = prepare("UPDATE meta SET value = ?2 WHERE name = CAST(?1 AS TEXT)");
    auto put_entry = prepare(
        "INSERT INTO kv VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(key) DO UPDATE SET value = ?2, flags = ?3, "
        "create_index = ?4, modify_index = ?5");
    auto erase_entry = prepare("DELETE FROM kv WHERE key = ?1");
    auto put_change = prepare("INSERT INTO change VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET idx = ?3");
    auto erase_change = prepare("DELETE FROM change WHERE kind = ?1 AND name = ?2");
    auto reap_keys = prepare("DELETE FROM change WHERE kind = 0 AND idx <= ?1");
    auto reap_services =
        prepare("DELETE FROM change WHERE kind = 1 AND idx <= ?1 AND name NOT IN (SELECT service FROM instance)");
    auto put_instance = prepare(
        "INSERT INTO instance VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO UPDATE SET service = ?2, "
        "registration = ?3, create_index = ?4, modify_index = ?5");
    auto erase_instance = prepare("DELETE FROM instance WHERE id = ?1");
    auto put_check = prepare("INSERT OR REPLACE INTO check_status VALUES (?1, ?2, ?3, ?4)");
    auto erase_checks = prepare("DELETE FROM check_status WHERE id = ?1");
    if (!failed.ok()) return failed;
    return std::unique_ptr<Statements>(
        new Statements{*std::move(begin), *std::move(commit), *std::move(rollback), *std::move(set_meta),
                       *std::move(put_entry), *std::move(erase_entry), *std::move(put_change), *std::move(erase_change),
                       *std::move(reap_keys), *std::move(reap_services), *std::move(put_instance),
                       *std::move(erase_instance), *std::move(put_check), *std::move(erase_checks)});
  }
};

// Writes one mutation.
class Store::Writer {
 public:
  explicit Writer(Statements& statements) : s_(statements) {}

  absl::Status operator()(const PutEntry& m) {
    const KvEntry& e = *m.entry;
    absl::Status status = s_.put_entry.Bind(1, e.key)
                              .Bind(2, e.value)
                              .Bind(3, e.flags)
                              .Bind(4, e.create_index)
                              .Bind(5, e.modify_index)
                              .Run();
    if (!status.ok() || e.create_index != e.modify_index) return status;
    return s_.erase_change.Bind(1, kKeyKind).Bind(2, e.key).Run();
  }

  absl::Status operator()(const EraseEntry& m) {
    absl::Status status = s_.erase_entry.Bind(1, m.key).Run();
    if (!status.ok()) return status;
    return s_.put_change.Bind(1, kKeyKind).Bind(2, m.key).Bind(3, m.index).Run();
  }

  absl::Status operator()(const PutInstance& m) {
    const InstanceRecord& record = *m.record;
    const Registration& registration = *record.registration;
    const bool registered = !m.previous || m.previous->registration != record.registration;
    if (registered) {
      absl::Status status = s_.put_instance.Bind(1, registration.id)
                                .Bind(2, registration.service)
                                .Bind(3, EncodeRegistrationOnce(registration))
                                .Bind(4, record.create_index)
                                .Bind(5, record.modify_index)
                                .Run();
      if (!status.ok()) return status;
      status = s_.erase_checks.Bind(1, registration.id).Run();
      if (!status.ok()) return status;
    }
    for (size_t i = 0; i < record.checks.size(); ++i) {
      const CheckStatus& check = record.checks[i];
      if (!registered && check.health == m.previous->checks[i].health) continue;
      absl::Status status = s_.put_check.Bind(1, registration.id)
                                .Bind(2, i)
                                .Bind(3, static_cast<uint64_t>(check.health))
                                .Bind(4, check.output)
                                .Run();
      if (!status.ok()) return status;
    }
    return s_.put_change.Bind(1, kServiceKind).Bind(2, registration.service).Bind(3, m.index).Run();
  }

  absl::Status operator()(const EraseInstance& m) {
    const Registration& registration = *m.record->registration;
    absl::Status status = s_.erase_instance.Bind(1, registration.id).Run();
    if (!status.ok()) return status;
    status = s_.erase_checks.Bind(1, registration.id).Run();
    if (!status.ok()) return status;
    return s_.put_change.Bind(1, kServiceKind).Bind(2, registration.service).Bind(3, m.index).Run();
  }

  absl::Status operator()(const ReapEntries& m) {
    absl::Status status = s_.reap_keys.Bind(1, m.floor).Run();
    if (!status.ok()) return status;
    return s_.set_meta.Bind(1, "kv_floor").Bind(2, m.floor).Run();
  }

  absl::Status operator()(const ReapServices& m) {
    absl::Status status = s_.reap_services.Bind(1, m.floor).Run();
    if (!status.ok()) return status;
    return s_.set_meta.Bind(1, "service_floor").Bind(2, m.floor).Run();
  }

 private:
  // Bound bytes have to live until the statement has run.
  std::string_view EncodeRegistrationOnce(const Registration& registration) {
    encoded_ = EncodeRegistration(registration);
    return encoded_;
  }

  Statements& s_;
  std::string encoded_;
};

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& directory, uint64_t max_bytes) {
  auto lock = LockDirectory(directory);
  if (!lock.ok()) return lock.status();
  auto db = OpenDatabase(directory, max_bytes);
  if (!db.ok()) {
    close(*lock);
    return db.status();
  }
  auto statements = Statements::Prepare(db->get());
  if (!statements.ok()) {
    close(*lock);
    return statements.status();
  }
  return std::unique_ptr<Store>(new Store(*lock, *std::move(db), *std::move(statements), max_bytes));
}

Store::Store(int lock, Database db, std::unique_ptr<Statements> statements, uint64_t max_bytes)
    : lock_(lock), max_bytes_(max_bytes), db_(std::move(db)), statements_(std::move(statements)) {}

Store::~Store() {
  // The lock goes last: nobody else may open what is not closed.
  statements_ = nullptr;
  db_ = nullptr;
  close(lock_);
}

absl::StatusOr<State> Store::Load() {
  State state;
  if (absl::Status status = LoadEntries(state); !status.ok()) return status;
  if (absl::Status status = LoadInstances(state); !status.ok()) return status;
  if (absl::Status status = LoadIndexes(state); !status.ok()) return status;
  return state;
}

absl::Status Store::LoadEntries(State& state) {
  auto rows = Statement::Prepare(db_.get(), "SELECT key, value, flags, create_index, modify_index FROM kv");
  if (!rows.ok()) return rows.status();
  while (true) {
    auto row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    KvEntry entry;
    entry.key = rows->Bytes(0);
    entry.value = rows->Bytes(1);
    entry.flags = rows->Number(2);
    entry.create_index = rows->Number(3);
    entry.modify_index = rows->Number(4);
    state.kv.Put(std::make_shared<const KvEntry>(std::move(entry)));
  }
}

absl::Status Store::LoadInstances(State& state) {
  std::unordered_map<std::string, std::vector<CheckStatus>> checks;
  auto statuses = Statement::Prepare(db_.get(), "SELECT id, health, output FROM check_status ORDER BY id, position");
  if (!statuses.ok()) return statuses.status();
  while (true) {
    auto row = statuses->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    if (statuses->Number(1) > static_cast<uint64_t>(Health::kMaintenance)) return Senseless("an unknown health");
    checks[statuses->Bytes(0)].push_back({static_cast<Health>(statuses->Number(1)), statuses->Bytes(2)});
  }
  auto rows = Statement::Prepare(db_.get(), "SELECT registration, create_index, modify_index FROM instance");
  if (!rows.ok()) return rows.status();
  while (true) {
    auto row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    auto registration = DecodeRegistration(rows->Bytes(0));
    if (!registration) return Senseless("a registration that can't be read");
    auto record = std::make_shared<InstanceRecord>();
    record->checks = std::move(checks[registration->id]);
    if (record->checks.size() != registration->checks.size()) return Senseless("an instance without all its checks");
    record->registration = std::make_shared<const Registration>(*std::move(registration));
    record->create_index = rows->Number(1);
    record->modify_index = rows->Number(2);
    const uint64_t index = record->modify_index;
    state.catalog.Put(std::move(record), index);
  }
}

absl::Status Store::LoadIndexes(State& state) {
  auto rows = Statement::Prepare(db_.get(), "SELECT kind, name, idx FROM change");
  if (!rows.ok()) return rows.status();
  while (true) {
    auto row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    if (rows->Number(0) == kServiceKind) {
      state.catalog.RestoreServiceIndex(rows->Bytes(1), rows->Number(2));
    } else {
      state.kv.tombstones().Add(rows->Bytes(1), rows->Number(2));
    }
  }
  auto index = QueryInteger(db_.get(), "SELECT value FROM meta WHERE name = 'index'");
  auto kv_floor = QueryInteger(db_.get(), "SELECT value FROM meta WHERE name = 'kv_floor'");
  auto service_floor = QueryInteger(db_.get(), "SELECT value FROM meta WHERE name = 'service_floor'");
  if (!index.ok()) return index.status();
  if (!kv_floor.ok()) return kv_floor.status();
  if (!service_floor.ok()) return service_floor.status();
  state.index = static_cast<uint64_t>(*index);
  state.kv.tombstones().ReapTo(static_cast<uint64_t>(*kv_floor));
  state.catalog.ReapTo(static_cast<uint64_t>(*service_floor));
  if (state.index == 0 || state.index < state.kv.index()) return Senseless("entries from after its own index");
  return absl::OkStatus();
}

absl::Status Store::Commit(const std::vector<Mutation>& mutations, uint64_t index) {
  absl::Status status = CommitOnce(mutations, index);
  if (!full_ || max_bytes_ == 0 || !std::all_of(mutations.begin(), mutations.end(), OnlyDeletes)) return status;
  // A deletion makes room, though it takes some first.
  if (!BoundDatabase(db_.get(), 0).ok()) return status;
  status = CommitOnce(mutations, index);
  BoundDatabase(db_.get(), max_bytes_).IgnoreError();
  return status;
}

absl::Status Store::CommitOnce(const std::vector<Mutation>& mutations, uint64_t index) {
  full_ = false;
  absl::Status status = statements_->begin.Run();
  if (!status.ok()) return status;
  Writer writer(*statements_);
  for (const Mutation& mutation : mutations) {
    if (status = std::visit(writer, mutation); !status.ok()) break;
  }
  if (status.ok()) status = statements_->set_meta.Bind(1, "index").Bind(2, index).Run();
  if (status.ok()) {
    status = statements_->commit.Run();
    if (status.ok()) return status;
    // The log may hold the transaction although it could not be flushed.
    if ((sqlite3_errcode(db_.get()) & 0xFF) == SQLITE_IOERR) {
      status = MakeError(absl::StatusCode::kUnavailable, reason::kWriteOutcomeUnknown,
                         absl::StrCat("the write may have been applied: ", status.message()));
    }
  }
  full_ = (sqlite3_errcode(db_.get()) & 0xFF) == SQLITE_FULL;
  // Some errors have rolled back already.
  if (sqlite3_get_autocommit(db_.get()) == 0) statements_->rollback.Run().IgnoreError();
  return status;
}

}  // namespace meshgate::consul::embedded
