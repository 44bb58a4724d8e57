#include "consul/embedded/sqlite.h"

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::consul::embedded {

absl::Status StorageError(sqlite3* db, std::string_view doing) {
  const int code = sqlite3_errcode(db) & 0xFF;
  const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  return MakeError(damaged ? absl::StatusCode::kDataLoss : absl::StatusCode::kUnavailable, reason::kStorage,
                   absl::StrCat(ToAbsl(doing), ": ", sqlite3_errmsg(db)));
}

absl::Status Execute(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return StorageError(db, absl::StrCat("running \"", std::string(sql).substr(0, 60), "\""));
}

absl::StatusOr<std::string> QueryText(sqlite3* db, const char* sql) {
  auto statement = Statement::Prepare(db, sql);
  if (!statement.ok()) return statement.status();
  auto row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Bytes(0) : std::string();
}

absl::StatusOr<int64_t> QueryInteger(sqlite3* db, const char* sql) {
  auto statement = Statement::Prepare(db, sql);
  if (!statement.ok()) return statement.status();
  auto row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? static_cast<int64_t>(statement->Number(0)) : int64_t{0};
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return StorageError(db, absl::StrCat("preparing \"", std::string(sql).substr(0, 60), "\""));
  }
  return Statement(statement);
}

Statement& Statement::Bind(int parameter, std::string_view bytes) {
  // A null pointer would bind NULL instead of an empty blob.
  sqlite3_bind_blob64(statement_.get(), parameter, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::Bind(int parameter, uint64_t number) {
  sqlite3_bind_int64(statement_.get(), parameter, static_cast<sqlite3_int64>(number));
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return StorageError(sqlite3_db_handle(statement_.get()), sqlite3_sql(statement_.get()));
}

absl::Status Statement::Run() {
  auto row = Step();
  sqlite3_reset(statement_.get());
  return row.status();
}

std::string Statement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

}  // namespace meshgate::consul::embedded
