#include "consul/last_known/state_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/last_known/open_file.h"

namespace meshgate::consul::last_known {
namespace {

// What a row costs beside its bytes, in the table and in the index, roughly.
constexpr uint64_t kRowBytes = 80;

absl::Status Mismatch() { return absl::AbortedError("its checksum does not fit"); }

// Fills in what the header says of the records.
std::vector<std::string> Summarize(const State& state, Header* header) {
  const TargetKind kind = header->target.kind;
  std::vector<std::string> checksums(CountRecords(kind, state));
  ChecksumOfRecords sum;
  header->bytes = kRowBytes;
  for (size_t i = 0; i < checksums.size(); ++i) {
    const std::string bytes = EncodeRecord(kind, state, i);
    checksums[i] = Checksum(bytes);
    sum.Add(checksums[i]);
    header->bytes += bytes.size() + 2 * RecordIdentity(kind, state, i).size() + kRowBytes;
  }
  header->records = checksums.size();
  header->checksum = sum.ToBytes();
  return checksums;
}

}  // namespace

StateFile::StateFile(const StateFileOptions& options, Database db, OnDamage on_damage)
    : options_(options), on_damage_(std::move(on_damage)), db_(std::move(db)) {}

absl::StatusOr<std::unique_ptr<StateFile>> StateFile::Open(const StateFileOptions& options, const Stamp& now,
                                                           OnDamage on_damage) {
  auto db = OpenFile(options.directory);
  if (!db.ok()) return db.status();
  std::unique_ptr<StateFile> file(new StateFile(options, *std::move(db), std::move(on_damage)));
  if (absl::Status status = file->Prepare(); !status.ok()) return status;
  if (absl::Status status = file->ReadHeaders(now); !status.ok()) return status;
  return file;
}

absl::StatusOr<std::string> StateFile::SetAside(const StateFileOptions& options, const Stamp& now) {
  return SetFileAside(options.directory, now);
}

absl::Status StateFile::Prepare() {
  struct Sql {
    Statement* statement;
    const char* text;
  };
  for (const auto& [statement, text] : {
           Sql{&insert_target_, "INSERT INTO target(name, checksum, header) VALUES(?1, ?2, ?3)"},
           Sql{&select_target_, "SELECT checksum, header FROM target WHERE id = ?1"},
           Sql{&update_target_, "UPDATE target SET checksum = ?2, header = ?3 WHERE id = ?1"},
           Sql{&delete_target_, "DELETE FROM target WHERE id = ?1"},
           Sql{&select_rows_, "SELECT id, identity, checksum FROM entry WHERE target = ?1"},
           Sql{&select_records_, "SELECT identity, record FROM entry WHERE target = ?1 ORDER BY identity"},
           Sql{&insert_record_, "INSERT INTO entry(target, identity, checksum, record) VALUES(?1, ?2, ?3, ?4)"},
           Sql{&update_record_, "UPDATE entry SET checksum = ?2, record = ?3 WHERE id = ?1"},
           Sql{&delete_record_, "DELETE FROM entry WHERE id = ?1"},
           Sql{&delete_records_, "DELETE FROM entry WHERE target = ?1"},
       }) {
    auto prepared = Statement::Prepare(db_.get(), text);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  return absl::OkStatus();
}

absl::Status StateFile::ReadHeaders(const Stamp& now) {
  auto select = Statement::Prepare(db_.get(), "SELECT id, name, checksum, header FROM target");
  if (!select.ok()) return select.status();
  std::vector<std::pair<Target, Known>> found;
  std::vector<int64_t> damaged;
  while (true) {
    auto row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    const int64_t id = select->Number(0);
    auto header = DecodeHeader(select->Bytes(3));
    if (Checksum(select->Bytes(3)) != select->Bytes(2) || !header.has_value() ||
        EncodeTarget(header->target) != select->Bytes(1)) {
      damaged.push_back(id);
      continue;
    }
    found.push_back({std::move(header->target), Known{id, header->bytes, 0, AgeOf(header->confirmed, now)}});
  }
  select->Reset();
  for (const int64_t id : damaged) {
    on_damage_("the last known state of a target was damaged on disk; it is dropped");
    if (absl::Status status = DeleteRows(id); !status.ok()) return status;
  }
  // What was confirmed last was used last.
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second.age > b.second.age; });
  for (auto& [target, known] : found) {
    known.used = ++uses_;
    bytes_ += known.bytes;
    known_.emplace(std::move(target), known);
  }
  return DropBeyondBounds();
}

absl::StatusOr<std::optional<StateFile::Stored>> StateFile::Load(const Target& target) {
  auto it = known_.find(target);
  if (it == known_.end()) return std::nullopt;
  auto stored = ReadState(target, it->second.id);
  select_target_.Reset();
  select_records_.Reset();
  if (absl::IsAborted(stored.status())) {
    on_damage_("the last known state of a target was damaged on disk; it is dropped");
    if (absl::Status status = Drop(target); !status.ok()) return status;
    return std::nullopt;
  }
  if (!stored.ok()) return stored.status();
  Use(it->second);
  return *std::move(stored);
}

absl::StatusOr<Header> StateFile::ReadHeader(const Target& target, int64_t id) {
  auto row = select_target_.Bind(1, id).Step();
  if (!row.ok()) return row.status();
  if (!*row || Checksum(select_target_.Bytes(1)) != select_target_.Bytes(0)) return Mismatch();
  auto header = DecodeHeader(select_target_.Bytes(1));
  if (!header.has_value() || !(header->target == target)) return Mismatch();
  select_target_.Reset();
  return *std::move(header);
}

absl::StatusOr<StateFile::Stored> StateFile::ReadState(const Target& target, int64_t id) {
  auto header = ReadHeader(target, id);
  if (!header.ok()) return header.status();
  auto state = std::make_shared<State>();
  ChecksumOfRecords sum;
  uint64_t records = 0;
  std::string last;
  select_records_.Bind(1, id);
  while (true) {
    auto row = select_records_.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    const std::string_view identity = select_records_.Bytes(0);
    const std::string_view bytes = select_records_.Bytes(1);
    if (records > 0 && identity <= last) return Mismatch();
    if (!DecodeRecord(target.kind, identity, bytes, state.get())) return Mismatch();
    sum.Add(Checksum(bytes));
    last = identity;
    ++records;
  }
  if (records != header->records || sum.ToBytes() != header->checksum) return Mismatch();
  return Stored{std::move(state), header->index, header->confirmed};
}

absl::Status StateFile::Save(const Target& target, const State& state, uint64_t index, const Stamp& confirmed) {
  Header header;
  header.target = target;
  header.index = index;
  header.confirmed = confirmed;
  const std::vector<std::string> checksums = Summarize(state, &header);
  if (header.bytes > options_.max_bytes) {
    if (absl::Status status = Drop(target); !status.ok()) return status;
    return absl::OutOfRangeError(absl::StrCat("a state of ", header.bytes,
                                              " bytes is larger than all that may be kept (", options_.max_bytes, ")"));
  }
  if (absl::Status status = Begin(); !status.ok()) return status;
  auto id = WriteState(state, header, checksums);
  absl::Status status = id.status();
  if (status.ok()) status = Commit();
  if (!status.ok()) {
    Rollback();
    return status;
  }
  Known& known = known_[target];
  bytes_ += header.bytes - known.bytes;
  known.id = *id;
  known.bytes = header.bytes;
  Use(known);
  return DropBeyondBounds();
}

absl::StatusOr<int64_t> StateFile::WriteState(const State& state, const Header& header,
                                              const std::vector<std::string>& checksums) {
  int64_t id;
  if (auto it = known_.find(header.target); it != known_.end()) {
    id = it->second.id;
    if (absl::Status status = WriteHeader(id, header); !status.ok()) return status;
  } else {
    const std::string name = EncodeTarget(header.target);
    const std::string bytes = EncodeHeader(header);
    const std::string checksum = Checksum(bytes);
    absl::Status status = insert_target_.Bind(1, name).Bind(2, checksum).Bind(3, bytes).Run();
    if (!status.ok()) return status;
    id = sqlite3_last_insert_rowid(db_.get());
  }
  if (absl::Status status = WriteRecords(id, header.target.kind, state, checksums); !status.ok()) return status;
  return id;
}

absl::StatusOr<absl::flat_hash_map<std::string, StateFile::Row>> StateFile::ReadRows(int64_t id) {
  absl::flat_hash_map<std::string, Row> rows;
  select_rows_.Bind(1, id);
  while (true) {
    auto row = select_rows_.Step();
    if (!row.ok() || !*row) {
      select_rows_.Reset();
      if (!row.ok()) return row.status();
      return rows;
    }
    rows.insert_or_assign(std::string(select_rows_.Bytes(1)),
                          Row{select_rows_.Number(0), std::string(select_rows_.Bytes(2))});
  }
}

absl::Status StateFile::WriteRecords(int64_t id, TargetKind kind, const State& state,
                                     const std::vector<std::string>& checksums) {
  auto rows = ReadRows(id);
  if (!rows.ok()) return rows.status();
  for (size_t i = 0; i < checksums.size(); ++i) {
    const std::string identity = RecordIdentity(kind, state, i);
    auto it = rows->find(identity);
    if (it != rows->end() && it->second.checksum == checksums[i]) {
      rows->erase(it);
      continue;
    }
    const std::string bytes = EncodeRecord(kind, state, i);
    absl::Status status;
    if (it != rows->end()) {
      status = update_record_.Bind(1, it->second.id).Bind(2, checksums[i]).Bind(3, bytes).Run();
      rows->erase(it);
    } else {
      status = insert_record_.Bind(1, id).Bind(2, identity).Bind(3, checksums[i]).Bind(4, bytes).Run();
    }
    if (!status.ok()) return status;
  }
  for (const auto& [identity, row] : *rows) {
    if (absl::Status status = delete_record_.Bind(1, row.id).Run(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StateFile::WriteHeader(int64_t id, const Header& header) {
  const std::string bytes = EncodeHeader(header);
  const std::string checksum = Checksum(bytes);
  return update_target_.Bind(1, id).Bind(2, checksum).Bind(3, bytes).Run();
}

absl::StatusOr<bool> StateFile::Confirm(const Target& target, uint64_t index, const Stamp& confirmed) {
  auto it = known_.find(target);
  if (it == known_.end()) return false;
  auto header = ReadHeader(target, it->second.id);
  select_target_.Reset();
  // Damaged: a save mends it.
  if (absl::IsAborted(header.status())) return false;
  if (!header.ok()) return header.status();
  header->index = index;
  header->confirmed = confirmed;
  if (absl::Status status = WriteHeader(it->second.id, *header); !status.ok()) return status;
  Use(it->second);
  return true;
}

absl::Status StateFile::Begin() { return Execute(db_.get(), "BEGIN IMMEDIATE"); }
absl::Status StateFile::Commit() { return Execute(db_.get(), "COMMIT"); }

void StateFile::Rollback() {
  // After some errors SQLite has done it already.
  if (sqlite3_get_autocommit(db_.get()) == 0) Execute(db_.get(), "ROLLBACK").IgnoreError();
}

absl::Status StateFile::DropExpired() {
  std::vector<Target> expired;
  for (const auto& [target, known] : known_) {
    if (known.age > options_.retention) expired.push_back(target);
  }
  for (const Target& target : expired) {
    if (absl::Status status = Drop(target); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StateFile::DropBeyondBounds() {
  while (known_.size() > options_.max_targets || bytes_ > options_.max_bytes) {
    const auto oldest = std::min_element(known_.begin(), known_.end(),
                                         [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    // A copy: Drop() erases the original.
    const Target target = oldest->first;
    if (absl::Status status = Drop(target); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StateFile::Drop(const Target& target) {
  auto it = known_.find(target);
  if (it == known_.end()) return absl::OkStatus();
  if (absl::Status status = DeleteRows(it->second.id); !status.ok()) return status;
  bytes_ -= it->second.bytes;
  known_.erase(it);
  return absl::OkStatus();
}

absl::Status StateFile::DeleteRows(int64_t id) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  absl::Status status = delete_records_.Bind(1, id).Run();
  if (status.ok()) status = delete_target_.Bind(1, id).Run();
  if (status.ok()) status = Commit();
  if (!status.ok()) {
    Rollback();
    return status;
  }
  return Execute(db_.get(), "PRAGMA incremental_vacuum");
}

void StateFile::Use(Known& known) {
  known.used = ++uses_;
  known.age = absl::ZeroDuration();
}

}  // namespace meshgate::consul::last_known
