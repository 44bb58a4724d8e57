#include "consul/last_known/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul::last_known {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "states.db";
constexpr char kDamaged[] = "states.db.damaged-";
constexpr size_t kDamagedKept = 2;

// "MSHK": tells this database from others.
constexpr int64_t kApplicationId = 0x4D53484B;
constexpr int64_t kSchemaVersion = 1;

// The index over entries holds all that is needed to tell which of them differ from a new state. Identifiers are never
// used twice, so that a row left behind can't come to belong to another target.
constexpr char kSchema[] = R"sql(
  PRAGMA auto_vacuum = INCREMENTAL;
  BEGIN IMMEDIATE;
  CREATE TABLE target(id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE, checksum BLOB NOT NULL,
                      header BLOB NOT NULL);
  CREATE TABLE entry(id INTEGER PRIMARY KEY, target INTEGER NOT NULL, identity BLOB NOT NULL, checksum BLOB NOT NULL,
                     record BLOB NOT NULL);
  CREATE UNIQUE INDEX entry_by_identity ON entry(target, identity, checksum);
  PRAGMA application_id = 1297303627;
  PRAGMA user_version = 1;
  COMMIT;
)sql";
static_assert(kApplicationId == 1297303627 && kSchemaVersion == 1, "as in the schema");

absl::Status SystemError(const std::string& doing, const std::error_code& error) {
  return MakeError(
      error == std::errc::no_space_on_device ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
      reason::kStorage, absl::StrCat(doing, ": ", error.message()));
}

std::error_code LastError() { return std::error_code(errno, std::generic_category()); }

absl::Status MakeDirectory(const std::string& directory) {
  std::error_code error;
  const fs::path parent = fs::path(directory).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError(absl::StrCat("making ", directory), LastError());
  }
  struct stat found;
  if (lstat(directory.c_str(), &found) != 0) return SystemError(absl::StrCat("looking at ", directory), LastError());
  if (!S_ISDIR(found.st_mode)) {
    return SystemError(absl::StrCat("using ", directory), std::make_error_code(std::errc::not_a_directory));
  }
  if ((found.st_mode & 0777) != 0700 && chmod(directory.c_str(), 0700) != 0) {
    return SystemError(absl::StrCat("keeping ", directory, " to its owner"), LastError());
  }
  return absl::OkStatus();
}

// Made here for its mode, which SQLite gives to the log too. Not opened where it is there: closing a file drops every
// lock that the process has on it.
absl::Status MakeFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) {
    close(file);
    return absl::OkStatus();
  }
  if (errno != EEXIST) return SystemError(absl::StrCat("making ", path), LastError());
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) return SystemError(absl::StrCat("looking at ", path), LastError());
  if (!S_ISREG(found.st_mode)) {
    return SystemError(absl::StrCat("using ", path), std::make_error_code(std::errc::invalid_argument));
  }
  if ((found.st_mode & 0777) != 0600 && chmod(path.c_str(), 0600) != 0) {
    return SystemError(absl::StrCat("keeping ", path, " to its owner"), LastError());
  }
  return absl::OkStatus();
}

absl::Status CheckSchema(sqlite3* db, const std::string& path) {
  auto application = QueryInteger(db, "PRAGMA application_id");
  auto version = QueryInteger(db, "PRAGMA user_version");
  auto tables = QueryInteger(db, "SELECT count(*) FROM sqlite_schema");
  if (!application.ok()) return application.status();
  if (!version.ok()) return version.status();
  if (!tables.ok()) return tables.status();
  if (*tables == 0 && *application == 0 && *version == 0) return Execute(db, kSchema);
  if (*application == kApplicationId && *version == kSchemaVersion) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, reason::kStorage,
                   absl::StrCat(path, " is of another version or program (", *application, ", ", *version, ")"));
}

}  // namespace

absl::StatusOr<Database> OpenFile(const std::string& directory) {
  if (absl::Status status = MakeDirectory(directory); !status.ok()) return status;
  const std::string path = absl::StrCat(directory, "/", kName);
  if (absl::Status status = MakeFile(path); !status.ok()) return status;
  sqlite3* raw = nullptr;
  // No mutex: one thread at a time uses it.
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) return SqliteError(db.get(), absl::StrCat("opening ", path));
  // Set before the file is read: it then belongs to this process alone, and the log's index stays in memory.
  if (absl::Status status = Execute(db.get(),
                                    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON;"
                                    "PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 8388608");
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckSchema(db.get(), path); !status.ok()) return status;
  auto mode = QueryText(db.get(), "PRAGMA journal_mode = WAL");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    return MakeError(absl::StatusCode::kUnavailable, reason::kStorage,
                     absl::StrCat(directory, ": the file system can't hold a write-ahead log"));
  }
  if (absl::Status status = Execute(db.get(), "PRAGMA synchronous = NORMAL; BEGIN EXCLUSIVE; COMMIT"); !status.ok()) {
    return status;
  }
  return db;
}

absl::StatusOr<std::string> SetFileAside(const std::string& directory, const Stamp& now) {
  const std::string path = absl::StrCat(directory, "/", kName);
  const std::string aside =
      absl::StrCat(directory, "/", kDamaged, absl::FormatTime("%Y%m%dT%H%M%E6SZ", now.wall, absl::UTCTimeZone()));
  // The log first: left beside a new file it would be taken for that file's.
  for (const char* suffix : {"-wal", "-journal", ""}) {
    if (rename((path + suffix).c_str(), (aside + suffix).c_str()) != 0 && errno != ENOENT) {
      return SystemError(absl::StrCat("setting ", path, suffix, " aside"), LastError());
    }
  }
  std::vector<std::string> set_aside;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (absl::StartsWith(name, kDamaged) && !absl::EndsWith(name, "-wal") && !absl::EndsWith(name, "-journal")) {
      set_aside.push_back(it->path().string());
    }
  }
  // Their names are in the order of their times.
  std::sort(set_aside.begin(), set_aside.end(), std::greater<>());
  for (size_t i = kDamagedKept; i < set_aside.size(); ++i) {
    for (const char* suffix : {"-wal", "-journal", ""}) unlink((set_aside[i] + suffix).c_str());
  }
  return aside;
}

}  // namespace meshgate::consul::last_known
