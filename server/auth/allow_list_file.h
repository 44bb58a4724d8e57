#ifndef MESHGATE_SERVER_AUTH_ALLOW_LIST_FILE_H_
#define MESHGATE_SERVER_AUTH_ALLOW_LIST_FILE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "metrics/allow_list_reporter.h"
#include "server/auth/allow_list.h"
#include "server/file_watch.h"

namespace meshgate::server::auth {

// The allow-list in a file that may be replaced while the process runs. Thread-safe.
class AllowListFile : public std::enable_shared_from_this<AllowListFile> {
 public:
  // Reads it: an error says what is wrong with it. From then on it is looked at each second, on the scheduler's
  // threads, as FileWatch has it; a file that cannot be used leaves the list as it was, is said so once, counted, and
  // tried again. Scheduler and reporter outlive it.
  static absl::StatusOr<std::shared_ptr<AllowListFile>> Open(const std::string& file, Scheduler* scheduler,
                                                             metrics::AllowListReporter* reporter);

  // The list in use. Never null.
  std::shared_ptr<const AllowList> current() const;

  // Called after another list came into use, on the scheduler; for as long as this or the scheduler lives.
  void SetListener(std::function<void()> on_change);

 private:
  AllowListFile(const std::string& file, Scheduler* scheduler, metrics::AllowListReporter* reporter);

  void WatchLater();
  void Reload();

  const std::string file_;
  Scheduler* const scheduler_;
  metrics::AllowListReporter* const reporter_;

  // One look follows the other: of the looks alone.
  FileWatch watch_;

  mutable Mutex mu_;
  std::shared_ptr<const AllowList> current_ ABSL_GUARDED_BY(mu_);
  std::function<void()> on_change_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_ALLOW_LIST_FILE_H_
