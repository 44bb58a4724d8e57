// The file of last known states as a file: where it is, who may read it, whether it is ours.
#ifndef MESHGATE_CONSUL_LAST_KNOWN_OPEN_FILE_H_
#define MESHGATE_CONSUL_LAST_KNOWN_OPEN_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "consul/last_known/clock.h"
#include "consul/last_known/sqlite.h"

namespace meshgate::consul::last_known {

// Makes the directory and the database where they are missing, and takes the database for this process alone. The
// schema is in place. Errors as of SqliteError(); a database that is not ours or of another version counts as damaged.
absl::StatusOr<Database> OpenFile(const std::string& directory);

// See StateFile::SetAside().
absl::StatusOr<std::string> SetFileAside(const std::string& directory, const Stamp& now);

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_OPEN_FILE_H_
