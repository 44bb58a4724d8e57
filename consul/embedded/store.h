#ifndef MESHGATE_CONSUL_EMBEDDED_STORE_H_
#define MESHGATE_CONSUL_EMBEDDED_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/embedded/sqlite.h"
#include "consul/embedded/transaction.h"

namespace meshgate::consul::embedded {

// The state on disk: the file meshgate.db in a directory of its own, an SQLite database in WAL mode.
//
// A commit that was answered with OK survives the end of the process and of the machine: synchronous=FULL makes SQLite
// flush the log before it answers, as Consul's raft log does. That costs a flush per commit, not per write, because the
// caller commits what is waiting together.
//
// One process at a time holds a directory, by a lock on the file meshgate.lock that ends with the process however it
// ends. The database itself is not locked between commits, so `sqlite3 meshgate.db .backup` works meanwhile.
// Thread-compatible.
class Store {
 public:
  // Creates what is missing, the directory with mode 0700, and checks the file. `max_bytes` bounds the database, 0 does
  // not; a commit of deletions alone may exceed it, for what is deleted leaves a mark of its index.
  // FAILED_PRECONDITION: another process holds the directory, or the file is another program's or a newer version's.
  // DATA_LOSS: it is damaged. UNAVAILABLE: the system refuses. Each says which path and what to do.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& directory, uint64_t max_bytes);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // All that was committed. DATA_LOSS where it makes no sense.
  absl::StatusOr<State> Load();

  // All of it or nothing. UNAVAILABLE (STORAGE_FAILED) where it was not written, (WRITE_OUTCOME_UNKNOWN) where the disk
  // failed so late that it may come back after a restart.
  absl::Status Commit(const std::vector<Mutation>& mutations, uint64_t index);

  // Whether the last Commit() failed for want of room, which a smaller one may find.
  bool full() const { return full_; }

 private:
  struct Statements;
  class Writer;

  Store(int lock, Database db, std::unique_ptr<Statements> statements, uint64_t max_bytes);

  absl::Status CommitOnce(const std::vector<Mutation>& mutations, uint64_t index);

  absl::Status LoadEntries(State& state);
  absl::Status LoadInstances(State& state);
  absl::Status LoadIndexes(State& state);

  const int lock_;
  const uint64_t max_bytes_;
  bool full_ = false;
  // Before the statements, which must be finalized first.
  Database db_;
  std::unique_ptr<Statements> statements_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_STORE_H_
