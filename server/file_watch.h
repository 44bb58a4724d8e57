#ifndef MESHGATE_SERVER_FILE_WATCH_H_
#define MESHGATE_SERVER_FILE_WATCH_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace meshgate::server {

// Says when files that an operator may replace while the process runs are to be read again.
//
// They are once they have changed and then not changed from one look to the next, so that several may be replaced one
// after the other, and none is read half-written. Their names may be links that are turned, as Kubernetes does. Files
// that cannot be used are tried again every 10 s: what is wrong need not be in the files. For one thread at a time.
class FileWatch {
 public:
  // Between two looks.
  static constexpr absl::Duration kLookEvery = absl::Seconds(1);

  // What is there now counts as seen: make it before the files are read, so that what changes meanwhile is noticed.
  // Empty names are passed over.
  explicit FileWatch(std::vector<std::string> files);

  // Looks. True: read them now, and call one of these.
  bool Look(absl::Time now);
  void OnUsed() { refused_.clear(); }
  // Returns whether this is another reason than the time before, so that it is said once.
  bool OnRefused(const std::string& why, absl::Time now);

 private:
  std::string StateOfFiles() const;

  const std::vector<std::string> files_;
  std::string seen_;
  bool changed_ = false;
  // Why they cannot be used, and when they are tried again.
  std::string refused_;
  absl::Time retry_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_FILE_WATCH_H_
