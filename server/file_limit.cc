#include "server/file_limit.h"

#include <sys/resource.h>

namespace meshgate::server {

void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  // Where it is refused the limit stays what it was, and process_max_fds says so.
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

uint64_t FileLimit() {
  rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

}  // namespace meshgate::server
