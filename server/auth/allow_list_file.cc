#include "server/auth/allow_list_file.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/log.h"

namespace meshgate::server::auth {
namespace {

absl::StatusOr<AllowList> Load(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  // Opens a folder, too, and finds out here.
  in.peek();
  if (!in.is_open() || in.bad()) return absl::FailedPreconditionError(absl::StrCat(file, ": cannot be read"));
  // One byte more than there may be.
  std::string text(AllowList::kMaxBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return absl::FailedPreconditionError(absl::StrCat(file, ": cannot be read"));
  text.resize(static_cast<size_t>(in.gcount()));
  return AllowList::Parse(text, file);
}

}  // namespace

absl::StatusOr<std::shared_ptr<AllowListFile>> AllowListFile::Open(const std::string& file, Scheduler* scheduler,
                                                                   metrics::AllowListReporter* reporter) {
  std::shared_ptr<AllowListFile> opened(new AllowListFile(file, scheduler, reporter));
  absl::StatusOr<AllowList> list = Load(file);
  if (!list.ok()) {
    return absl::Status(list.status().code(), absl::StrCat(list.status().message(), " (--auth_mtls_file)"));
  }
  reporter->OnList(list->size());
  {
    MutexLock lock(opened->mu_);
    opened->current_ = std::make_shared<const AllowList>(*std::move(list));
  }
  opened->WatchLater();
  return opened;
}

AllowListFile::AllowListFile(const std::string& file, Scheduler* scheduler, metrics::AllowListReporter* reporter)
    : file_(file), scheduler_(scheduler), reporter_(reporter), watch_({file}) {}

std::shared_ptr<const AllowList> AllowListFile::current() const {
  MutexLock lock(mu_);
  return current_;
}

void AllowListFile::SetListener(std::function<void()> on_change) {
  MutexLock lock(mu_);
  on_change_ = std::move(on_change);
}

void AllowListFile::WatchLater() {
  scheduler_->After(FileWatch::kLookEvery, [weak = weak_from_this()] {
    const std::shared_ptr<AllowListFile> self = weak.lock();
    if (self == nullptr) return;
    if (self->watch_.Look(self->scheduler_->Now())) self->Reload();
    self->WatchLater();
  });
}

void AllowListFile::Reload() {
  absl::StatusOr<AllowList> list = Load(file_);
  if (!list.ok()) {
    reporter_->OnReload(false);
    const std::string why(list.status().message());
    if (!watch_.OnRefused(why, scheduler_->Now())) return;
    Log(LogLevel::kError, "the allow-list has changed and cannot be used; the one before stays", {{"error", why}});
    return;
  }
  watch_.OnUsed();
  const size_t identities = list->size();
  reporter_->OnList(identities);
  std::function<void()> on_change;
  {
    MutexLock lock(mu_);
    current_ = std::make_shared<const AllowList>(*std::move(list));
    on_change = on_change_;
  }
  // From here on whoever looks at the metric knows that the old list counts for nothing.
  reporter_->OnReload(true);
  Log(LogLevel::kInfo, "the new allow-list is in use", {{"identities", static_cast<int64_t>(identities)}});
  if (on_change) on_change();
}

}  // namespace meshgate::server::auth
