// Getting hold of the files: the directory, its lock, the database and its schema.
#ifndef MESHGATE_CONSUL_EMBEDDED_STORE_OPEN_H_
#define MESHGATE_CONSUL_EMBEDDED_STORE_OPEN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "consul/embedded/sqlite.h"

namespace meshgate::consul::embedded {

// Creates `directory` (0700) with its parents where missing and locks it for this process. Returns the file descriptor
// that holds the lock.
absl::StatusOr<int> LockDirectory(const std::string& directory);

// Opens, checks and, where it is new, lays out the database.
absl::StatusOr<Database> OpenDatabase(const std::string& directory, uint64_t max_bytes);

// Makes growth beyond `max_bytes`, or beyond what there is if that is more, fail with SQLITE_FULL. 0: no bound.
absl::Status BoundDatabase(sqlite3* db, uint64_t max_bytes);

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_STORE_OPEN_H_
