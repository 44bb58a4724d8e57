// The little of SQLite that the file of last known states uses, with errors as absl::Status.
#ifndef MESHGATE_CONSUL_LAST_KNOWN_SQLITE_H_
#define MESHGATE_CONSUL_LAST_KNOWN_SQLITE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meshgate::consul::last_known {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// The database's last error. DATA_LOSS: the file is not what we wrote; RESOURCE_EXHAUSTED: the disk is full;
// FAILED_PRECONDITION: another process has it open; anything else is UNAVAILABLE.
absl::Status SqliteError(sqlite3* db, std::string_view doing);

// Runs statements that return nothing.
absl::Status Execute(sqlite3* db, const char* sql);

// The first column of the first row, e.g. of a PRAGMA.
absl::StatusOr<int64_t> QueryInteger(sqlite3* db, const char* sql);
absl::StatusOr<std::string> QueryText(sqlite3* db, const char* sql);

// A prepared statement. Parameters count from 1, columns from 0. What is bound lives until the next Reset().
class Statement {
 public:
  Statement() = default;
  static absl::StatusOr<Statement> Prepare(sqlite3* db, const char* sql);

  Statement& Bind(int parameter, std::string_view bytes);
  Statement& Bind(int parameter, int64_t number);

  // True: there is a row. False: there are no more.
  absl::StatusOr<bool> Step();
  // Runs a statement without rows, and resets it.
  absl::Status Run();
  void Reset() { sqlite3_reset(statement_.get()); }

  // Until the next Step() or Reset().
  std::string_view Bytes(int column) const;
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_SQLITE_H_
