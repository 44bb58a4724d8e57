#ifndef MESHGATE_SERVER_FILE_LIMIT_H_
#define MESHGATE_SERVER_FILE_LIMIT_H_

#include <cstdint>

namespace meshgate::server {

// Raises the number of files that this process may have open to what it is allowed at most. Every connection is one,
// and the usual soft limit of 1024 is meant for programs that use select(2). Before there are threads.
void RaiseFileLimit();

// How many files this process may have open.
uint64_t FileLimit();

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_FILE_LIMIT_H_
