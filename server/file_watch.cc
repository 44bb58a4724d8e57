#include "server/file_watch.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshgate::server {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(10);

}  // namespace

FileWatch::FileWatch(std::vector<std::string> files) : files_(std::move(files)), seen_(StateOfFiles()) {}

// Differs when a file, or what its name leads to, is another or has been written.
std::string FileWatch::StateOfFiles() const {
  std::string state;
  for (const std::string& path : files_) {
    if (path.empty()) continue;
    struct stat s = {};
    if (stat(path.c_str(), &s) != 0) {
      absl::StrAppend(&state, "error ", errno, ";");
      continue;
    }
    absl::StrAppend(&state, s.st_dev, ":", s.st_ino, ":", s.st_size, ":", s.st_mtim.tv_sec, ".", s.st_mtim.tv_nsec, ":",
                    s.st_ctim.tv_sec, ".", s.st_ctim.tv_nsec, ";");
  }
  return state;
}

bool FileWatch::Look(absl::Time now) {
  std::string state = StateOfFiles();
  if (state != seen_) {
    seen_ = std::move(state);
    changed_ = true;
    return false;
  }
  return std::exchange(changed_, false) || (!refused_.empty() && now >= retry_);
}

bool FileWatch::OnRefused(const std::string& why, absl::Time now) {
  retry_ = now + kRetryAfter;
  if (why == refused_) return false;
  refused_ = why;
  return true;
}

}  // namespace meshgate::server
