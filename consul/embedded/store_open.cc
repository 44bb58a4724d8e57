#include "consul/embedded/store_open.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul::embedded {
namespace {

// "MSHG": tells this database from another program's.
constexpr int64_t kApplicationId = 0x4D534847;
constexpr int64_t kSchemaVersion = 1;

// Indexes and flags are 64 bits, kept as SQLite's signed integers.
// `change` holds the index at which a key (kind 0) went, or at which a service (kind 1) changed last.
constexpr char kSchema[] = R"sql(
  BEGIN IMMEDIATE;
  CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL, flags INTEGER NOT NULL,
                  create_index INTEGER NOT NULL, modify_index INTEGER NOT NULL);
  CREATE TABLE change(kind INTEGER NOT NULL, name BLOB NOT NULL, idx INTEGER NOT NULL,
                      PRIMARY KEY(kind, name)) WITHOUT ROWID;
  CREATE TABLE instance(id BLOB PRIMARY KEY, service BLOB NOT NULL, registration BLOB NOT NULL,
                        create_index INTEGER NOT NULL, modify_index INTEGER NOT NULL);
  CREATE TABLE check_status(id BLOB NOT NULL, position INTEGER NOT NULL, health INTEGER NOT NULL, output BLOB NOT NULL,
                            PRIMARY KEY(id, position)) WITHOUT ROWID;
  INSERT INTO meta VALUES ('index', 1), ('kv_floor', 0), ('service_floor', 0);
  PRAGMA application_id = 1297303623;
  PRAGMA user_version = 1;
  COMMIT;
)sql";
static_assert(kApplicationId == 1297303623 && kSchemaVersion == 1, "as in the schema");

absl::Status SystemError(const std::string& doing, const std::error_code& error) {
  return MakeError(absl::StatusCode::kUnavailable, reason::kStorage, absl::StrCat(doing, ": ", error.message()));
}

std::error_code LastError() { return std::error_code(errno, std::generic_category()); }

absl::Status CheckVersion(sqlite3* db, const std::string& path) {
  auto application = QueryInteger(db, "PRAGMA application_id");
  auto version = QueryInteger(db, "PRAGMA user_version");
  auto tables = QueryInteger(db, "SELECT count(*) FROM sqlite_schema");
  if (!application.ok()) return application.status();
  if (!version.ok()) return version.status();
  if (!tables.ok()) return tables.status();
  if (*tables == 0 && *application == 0 && *version == 0) return Execute(db, kSchema);
  if (*application != kApplicationId) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                     absl::StrCat(path, " is a database of another program; choose another data directory"));
  }
  if (*version > kSchemaVersion) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                     absl::StrCat(path, " was written by a newer version (schema ", *version, ", this one knows ",
                                  kSchemaVersion, "); run that version, or restore a backup"));
  }
  return absl::OkStatus();
}

absl::Status Configure(sqlite3* db, const std::string& path, uint64_t max_bytes) {
  // Readers never block us; a program that writes to our file may, and everybody waits for it meanwhile.
  sqlite3_busy_timeout(db, 1000);
  // Reads the whole file, which loading does anyway.
  auto check = QueryText(db, "PRAGMA quick_check(1)");
  if (!check.ok()) return check.status();
  if (*check != "ok") return MakeError(absl::StatusCode::kDataLoss, reason::kStorage, *check);
  if (absl::Status status = CheckVersion(db, path); !status.ok()) return status;
  auto mode = QueryText(db, "PRAGMA journal_mode = WAL");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    return MakeError(absl::StatusCode::kUnavailable, reason::kStorage, "the file system can't hold a write-ahead log");
  }
  if (absl::Status status = Execute(db, "PRAGMA synchronous = FULL"); !status.ok()) return status;
  return max_bytes == 0 ? absl::OkStatus() : BoundDatabase(db, max_bytes);
}

// Puts the names in a directory on the disk.
std::error_code SyncDirectory(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return LastError();
  std::error_code error;
  // Some file systems have nothing to flush there, and say EINVAL.
  if (fsync(fd) != 0 && errno != EINVAL) error = LastError();
  close(fd);
  return error;
}

// With its parents. Their names have to be on the disk before anything in them can be said to survive the machine.
absl::Status CreateDirectory(const std::string& directory) {
  namespace fs = std::filesystem;
  const std::string doing = absl::StrCat("creating the data directory ", directory);
  std::error_code error;
  fs::path path = fs::absolute(directory, error).lexically_normal();
  if (error) return SystemError(doing, error);
  if (!path.has_filename()) path = path.parent_path();
  std::vector<fs::path> parents;
  for (fs::path parent = path.parent_path();; parent = parent.parent_path()) {
    parents.push_back(parent);
    if (fs::exists(parent, error) || !parent.has_relative_path()) break;
  }
  fs::create_directories(path.parent_path(), error);
  if (error) return SystemError(doing, error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return SystemError(doing, LastError());
  for (const fs::path& parent : parents) {
    if (error = SyncDirectory(parent); error) return SystemError(doing, error);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> LockDirectory(const std::string& directory) {
  if (directory.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, "no data directory is given");
  }
  std::error_code error;
  if (!std::filesystem::exists(directory, error)) {
    if (absl::Status status = CreateDirectory(directory); !status.ok()) return status;
  }
  const std::string path = directory + "/meshgate.lock";
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return SystemError(absl::StrCat("opening ", path), LastError());
  if (flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  const std::error_code reason = LastError();
  close(lock);
  if (reason != std::errc::operation_would_block) return SystemError(absl::StrCat("locking ", path), reason);
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kStorage,
                   absl::StrCat("the data directory ", directory,
                                " is in use by another process; stop it, or choose another directory"));
}

absl::Status BoundDatabase(sqlite3* db, uint64_t max_bytes) {
  auto page = QueryInteger(db, "PRAGMA page_size");
  if (!page.ok()) return page.status();
  // SQLite's own most.
  const uint64_t pages = max_bytes == 0 ? 4294967294 : std::max<uint64_t>(1, max_bytes / static_cast<uint64_t>(*page));
  return Execute(db, absl::StrCat("PRAGMA max_page_count = ", pages).c_str());
}

absl::StatusOr<Database> OpenDatabase(const std::string& directory, uint64_t max_bytes) {
  const std::string path = directory + "/meshgate.db";
  // Created here for its mode, which SQLite gives to the log too.
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return SystemError(absl::StrCat("opening ", path), LastError());
  close(file);
  sqlite3* raw = nullptr;
  // No mutex: one thread at a time uses it.
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) return StorageError(db.get(), absl::StrCat("opening ", path));
  if (absl::Status status = Configure(db.get(), path, max_bytes); !status.ok()) {
    if (status.code() != absl::StatusCode::kDataLoss) return status;
    return MakeError(status.code(), reason::kStorage,
                     absl::StrCat(path, " is damaged; move it away or restore a backup: ", status.message()));
  }
  return db;
}

}  // namespace meshgate::consul::embedded
