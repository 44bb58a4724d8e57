#include "consul/last_known/sqlite.h"

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::consul::last_known {
namespace {

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    // Our statements fit our schema: where one does not prepare, or breaks a constraint, the file is at fault.
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_FORMAT:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status SqliteError(sqlite3* db, std::string_view doing) {
  return MakeError(CodeOf(sqlite3_errcode(db)), reason::kStorage,
                   absl::StrCat(ToAbsl(doing), ": ", sqlite3_errmsg(db)));
}

absl::Status Execute(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return SqliteError(db, std::string(sql).substr(0, 40));
}

absl::StatusOr<int64_t> QueryInteger(sqlite3* db, const char* sql) {
  auto statement = Statement::Prepare(db, sql);
  if (!statement.ok()) return statement.status();
  auto row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Number(0) : int64_t{0};
}

absl::StatusOr<std::string> QueryText(sqlite3* db, const char* sql) {
  auto statement = Statement::Prepare(db, sql);
  if (!statement.ok()) return statement.status();
  auto row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? std::string(statement->Bytes(0)) : std::string();
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return SqliteError(db, std::string(sql).substr(0, 40));
  }
  return Statement(statement);
}

Statement& Statement::Bind(int parameter, std::string_view bytes) {
  // A null pointer would bind NULL instead of an empty blob.
  sqlite3_bind_blob64(statement_.get(), parameter, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::Bind(int parameter, int64_t number) {
  sqlite3_bind_int64(statement_.get(), parameter, number);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(statement_.get()), std::string(sqlite3_sql(statement_.get())).substr(0, 40));
}

absl::Status Statement::Run() {
  auto row = Step();
  Reset();
  return row.status();
}

std::string_view Statement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(bytes), size);
}

}  // namespace meshgate::consul::last_known
