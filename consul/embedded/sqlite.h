// The little of SQLite that the store uses, with errors as absl::Status.
#ifndef MESHGATE_CONSUL_EMBEDDED_SQLITE_H_
#define MESHGATE_CONSUL_EMBEDDED_SQLITE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meshgate::consul::embedded {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// The database's last error: DATA_LOSS where the file is damaged or no database, otherwise UNAVAILABLE; the reason is
// STORAGE_FAILED. `doing` says what failed, e.g. "reading the entries".
absl::Status StorageError(sqlite3* db, std::string_view doing);

// Runs statements that return nothing.
absl::Status Execute(sqlite3* db, const char* sql);

// The first column of the first row, e.g. of a PRAGMA.
absl::StatusOr<std::string> QueryText(sqlite3* db, const char* sql);
absl::StatusOr<int64_t> QueryInteger(sqlite3* db, const char* sql);

// A prepared statement. Parameters count from 1, columns from 0. What is bound must live until the next Reset().
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* db, const char* sql);

  Statement& Bind(int parameter, std::string_view bytes);
  Statement& Bind(int parameter, uint64_t number);

  // True: there is a row. False: there are no more.
  absl::StatusOr<bool> Step();
  // Runs a statement without rows, and makes it ready to be used again.
  absl::Status Run();

  std::string Bytes(int column) const;
  // All 64 bits, which SQLite keeps as a signed number.
  uint64_t Number(int column) const { return static_cast<uint64_t>(sqlite3_column_int64(statement_.get(), column)); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_SQLITE_H_
