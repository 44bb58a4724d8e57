#ifndef MESHGATE_CONSUL_LAST_KNOWN_STATE_FILE_H_
#define MESHGATE_CONSUL_LAST_KNOWN_STATE_FILE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/last_known/clock.h"
#include "consul/last_known/codec.h"
#include "consul/last_known/sqlite.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul::last_known {

struct StateFileOptions {
  // Of this file alone; made, and kept to its owner (0700), by Open(). Its parents are made too.
  std::string directory;
  // Beyond either bound the target that was used least recently goes. The file itself is larger by SQLite's overhead
  // and its log: count with one and a half times `max_bytes` and 16 MB.
  size_t max_targets = 10000;
  uint64_t max_bytes = 256 << 20;
  // How long a target is kept that nobody watches.
  absl::Duration retention = absl::Hours(7 * 24);
};

// The states of targets in one SQLite file.
//
// A state is a header and a row per entry, and saving one writes the rows that differ from those on disk: what is
// written is proportional to the change, not to the state. One save is one transaction, so that a process killed at any
// moment leaves the old state or the new one. Against everything else that can happen to a file, each row has a
// checksum, and the header one over all of them: what is loaded was saved, whole.
//
// Power may fail too: the file stays consistent, the last few saves may be lost (WAL, synchronous = NORMAL).
//
// Values are in clear, in a directory (0700) and files (0600) of the process's user: who reads that disk, or a backup
// of it, reads what Consul holds. That goes for files set aside as well.
//
// Blocks. One thread at a time. Errors as of SqliteError(); after DATA_LOSS close it and SetAside().
class StateFile {
 public:
  struct Stored {
    SharedState state;
    uint64_t index = 0;
    Stamp confirmed;
  };
  // Told what was found damaged and is not used.
  using OnDamage = std::function<void(std::string_view what)>;

  // Opens or makes the file. One process at a time: FAILED_PRECONDITION where another one has it.
  static absl::StatusOr<std::unique_ptr<StateFile>> Open(const StateFileOptions& options, const Stamp& now,
                                                         OnDamage on_damage);

  // Renames the file, and its log, to NAME.damaged-TIME, and deletes all but the newest two of such. Returns the new
  // name. Nobody has it open.
  static absl::StatusOr<std::string> SetAside(const StateFileOptions& options, const Stamp& now);

  // Nothing where it was never saved, was dropped, or is damaged; then it is dropped.
  absl::StatusOr<std::optional<Stored>> Load(const Target& target);

  // OUT_OF_RANGE: alone larger than `max_bytes`; what was stored before is then dropped.
  absl::Status Save(const Target& target, const State& state, uint64_t index, const Stamp& confirmed);

  // Sets index and time of a state as it is stored; false where it is not. Many are best put into one transaction.
  absl::StatusOr<bool> Confirm(const Target& target, uint64_t index, const Stamp& confirmed);
  absl::Status Begin();
  absl::Status Commit();
  // After a failure since Begin().
  void Rollback();

  // Drops what has not been loaded, saved or confirmed since Open() and was older than `retention` then. Apart from
  // Open(), because while Consul is away, and what time it is unsure, everything is worth keeping.
  absl::Status DropExpired();

  size_t targets() const { return known_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Known {
    int64_t id = 0;
    uint64_t bytes = 0;
    // Grows with each use.
    uint64_t used = 0;
    // When it was opened; zero once it is used.
    absl::Duration age;
  };
  using KnownTargets = absl::flat_hash_map<Target, Known>;
  struct Row {
    int64_t id;
    std::string checksum;
  };

  StateFile(const StateFileOptions& options, Database db, OnDamage on_damage);

  absl::Status Prepare();
  absl::Status ReadHeaders(const Stamp& now);
  // The next two fail with ABORTED where the stored bytes don't fit their checksum or one another.
  absl::StatusOr<Header> ReadHeader(const Target& target, int64_t id);
  absl::StatusOr<Stored> ReadState(const Target& target, int64_t id);
  absl::StatusOr<absl::flat_hash_map<std::string, Row>> ReadRows(int64_t id);
  // `checksums` are those of the records, in order. Return the target's id.
  absl::StatusOr<int64_t> WriteState(const State& state, const Header& header,
                                     const std::vector<std::string>& checksums);
  absl::Status WriteRecords(int64_t id, TargetKind kind, const State& state, const std::vector<std::string>& checksums);
  absl::Status WriteHeader(int64_t id, const Header& header);
  absl::Status DeleteRows(int64_t id);
  absl::Status Drop(const Target& target);
  absl::Status DropBeyondBounds();
  void Use(Known& known);

  const StateFileOptions options_;
  const OnDamage on_damage_;
  // Before the statements, which go first.
  const Database db_;
  Statement insert_target_, select_target_, update_target_, delete_target_;
  Statement select_rows_, select_records_, insert_record_, update_record_, delete_record_, delete_records_;

  KnownTargets known_;
  uint64_t bytes_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_STATE_FILE_H_
