#include "consul/last_known/sqlite_state_store.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "consul/last_known/unsaved.h"

namespace meshgate::consul {
namespace {

using last_known::Stamp;
using last_known::StateFile;
using last_known::Unsaved;
using Operation = StateStoreReporter::Operation;

constexpr absl::Duration kLongestRetry = absl::Seconds(30);
constexpr int kRestFactor = 9;
constexpr size_t kMaxHeld = 1000;
// More than that are waiting only where the disk hangs.
constexpr size_t kMaxWaitingLoads = 10000;

}  // namespace

class SqliteStateStore::Impl final : public std::enable_shared_from_this<Impl> {
 public:
  Impl(StateStoreOptions options, Scheduler* scheduler, StateStoreReporter* reporter)
      : options_(std::move(options)), scheduler_(scheduler), reporter_(reporter), retry_(options_.delay) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  void Load(const Target& target, Loaded done);
  void Save(const Target& target, StoredState stored);
  bool HasStates() const { return kept_ > 0; }
  void Close();

 private:
  struct WaitingLoad {
    Target target;
    Loaded done;
  };
  enum class Due { kLoads, kWrite, kClose };

  // ---- Any thread.
  void Answer(Loaded done, std::optional<StoredState> stored);
  // Makes `*due` true after a while, and wakes the thread.
  void Arm(absl::Duration delay, bool Impl::*due);

  // ---- The store's thread; no lock is held while the file is used.
  void Run();
  // Waits for something to do.
  Due Wait();
  void AnswerLoads();
  std::optional<StoredState> LoadNow(const Target& target);
  void WriteDue();
  absl::Status WriteStates();
  absl::Status WriteConfirmations();
  // Starts the timer of the next write where there is something to write, to open or to rest from.
  void ArmNext(absl::Duration rest);
  absl::Status Open();
  // Counts a failure. Where it says that the file is damaged, sets that aside and starts a new one with what the hub
  // has; what is returned says whether that went well.
  absl::Status OnFailure(Operation operation, const absl::Status& status);
  void ReportCondition(const absl::Status& status);
  void ReportKept();
  // `t` on the Scheduler's clock.
  Stamp StampAt(absl::Time t) const { return options_.clock() - (scheduler_->Now() - t); }

  const StateStoreOptions options_;
  Scheduler* const scheduler_;
  StateStoreReporter* const reporter_;
  std::thread thread_;
  std::atomic<size_t> kept_{0};

  mutable Mutex mu_;
  CondVar wake_;
  Unsaved unsaved_ ABSL_GUARDED_BY(mu_){kMaxHeld};
  std::deque<WaitingLoad> loads_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // A timer for each is running, or it is due.
  bool write_armed_ ABSL_GUARDED_BY(mu_) = false;
  bool confirm_armed_ ABSL_GUARDED_BY(mu_) = false;
  bool write_due_ ABSL_GUARDED_BY(mu_) = false;
  bool confirm_due_ ABSL_GUARDED_BY(mu_) = false;

  // The store's thread alone from here.
  std::unique_ptr<StateFile> file_;  // null: can't be opened
  std::optional<absl::Status> condition_;
  absl::Duration retry_;
  bool expired_dropped_ = false;
};

void SqliteStateStore::Impl::Answer(Loaded done, std::optional<StoredState> stored) {
  scheduler_->Post([done = std::move(done), stored = std::move(stored)]() mutable { done(std::move(stored)); });
}

void SqliteStateStore::Impl::Load(const Target& target, Loaded done) {
  std::optional<StoredState> latest;
  {
    MutexLock lock(mu_);
    if (!closing_) latest = unsaved_.Latest(target);
    if (!latest.has_value() && !closing_ && loads_.size() < kMaxWaitingLoads) {
      loads_.push_back({target, std::move(done)});
      wake_.NotifyOne();
      return;
    }
  }
  Answer(std::move(done), std::move(latest));
}

void SqliteStateStore::Impl::Save(const Target& target, StoredState stored) {
  bool arm = false;
  Unsaved::Kind kind;
  {
    MutexLock lock(mu_);
    if (closing_) return;
    kind = unsaved_.Save(target, stored);
    arm = !std::exchange(kind == Unsaved::Kind::kState ? write_armed_ : confirm_armed_, true);
  }
  if (!arm) return;
  if (kind == Unsaved::Kind::kState) {
    Arm(options_.delay, &Impl::write_due_);
  } else {
    Arm(options_.confirm_every, &Impl::confirm_due_);
  }
}

void SqliteStateStore::Impl::Arm(absl::Duration delay, bool Impl::*due) {
  scheduler_->After(delay, [weak = weak_from_this(), due] {
    auto self = weak.lock();
    if (self == nullptr) return;
    MutexLock lock(self->mu_);
    (*self).*due = true;
    self->wake_.NotifyOne();
  });
}

void SqliteStateStore::Impl::Close() {
  {
    MutexLock lock(mu_);
    closing_ = true;
    wake_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void SqliteStateStore::Impl::Run() {
  pthread_setname_np(pthread_self(), "last-known");
  ReportCondition(Open());
  ReportKept();
  ArmNext(absl::ZeroDuration());
  while (true) {
    switch (Wait()) {
      case Due::kLoads:
        AnswerLoads();
        ArmNext(absl::ZeroDuration());
        break;
      case Due::kWrite:
        WriteDue();
        break;
      case Due::kClose:
        WriteDue();
        file_.reset();
        return;
    }
  }
}

SqliteStateStore::Impl::Due SqliteStateStore::Impl::Wait() {
  MutexLock lock(mu_);
  while (!closing_ && loads_.empty() && !write_due_ && !confirm_due_) wake_.Wait(mu_);
  if (!loads_.empty()) return Due::kLoads;
  if (closing_) return Due::kClose;
  return Due::kWrite;
}

void SqliteStateStore::Impl::AnswerLoads() {
  while (true) {
    WaitingLoad load;
    {
      MutexLock lock(mu_);
      if (loads_.empty()) return;
      load = std::move(loads_.front());
      loads_.pop_front();
    }
    std::optional<StoredState> stored = LoadNow(load.target);
    if (stored.has_value()) {
      MutexLock lock(mu_);
      unsaved_.SetLoaded(load.target, *stored);
    }
    Answer(std::move(load.done), std::move(stored));
  }
}

std::optional<StoredState> SqliteStateStore::Impl::LoadNow(const Target& target) {
  if (file_ == nullptr) return std::nullopt;
  auto stored = file_->Load(target);
  if (!stored.ok()) {
    ReportCondition(OnFailure(Operation::kLoad, stored.status()));
    ReportKept();
    return std::nullopt;
  }
  if (!stored->has_value()) return std::nullopt;
  const absl::Duration age = last_known::AgeOf((*stored)->confirmed, options_.clock());
  return StoredState{std::move((*stored)->state), (*stored)->index, scheduler_->Now() - age};
}

void SqliteStateStore::Impl::WriteDue() {
  bool write, confirm;
  {
    MutexLock lock(mu_);
    // `write_armed_` stays until this is done: what is saved meanwhile is written after the rest.
    write = std::exchange(write_due_, false) || closing_;
    confirm = std::exchange(confirm_due_, false) || closing_;
    if (confirm) confirm_armed_ = false;
  }
  const absl::Time begin = scheduler_->Now();
  absl::Status status = file_ == nullptr ? Open() : absl::OkStatus();
  if (write) status.Update(WriteStates());
  if (confirm) status.Update(WriteConfirmations());
  if (status.ok() && !std::exchange(expired_dropped_, true)) {
    status = file_->DropExpired();
    if (!status.ok()) status = OnFailure(Operation::kSave, status);
  }
  ReportCondition(status);
  ReportKept();
  const absl::Duration retry = status.ok() ? absl::ZeroDuration() : retry_;
  retry_ = status.ok() ? options_.delay : std::min(kLongestRetry, 2 * retry_);
  if (write) {
    MutexLock lock(mu_);
    write_armed_ = false;
    unsaved_.Prune();
  }
  ArmNext(std::max(retry, kRestFactor * (scheduler_->Now() - begin)));
}

absl::Status SqliteStateStore::Impl::WriteStates() {
  std::vector<Unsaved::Item> items;
  {
    MutexLock lock(mu_);
    items = unsaved_.States();
  }
  absl::Status first;
  for (Unsaved::Item& item : items) {
    absl::Status status = absl::UnavailableError("the file is not open");
    if (file_ != nullptr) {
      status = file_->Save(item.target, *item.stored.state, item.stored.index, StampAt(item.stored.confirmed));
    }
    {
      MutexLock lock(mu_);
      if (status.ok()) {
        unsaved_.OnWritten(item);
      } else if (absl::IsOutOfRange(status)) {
        unsaved_.OnRefused(item);
      } else {
        unsaved_.OnFailed(item);
      }
    }
    item.stored.state.reset();
    if (absl::IsOutOfRange(status)) {
      reporter_->OnError(Operation::kSave);
    } else if (!status.ok() && file_ != nullptr) {
      first.Update(OnFailure(Operation::kSave, status));
    }
    // A target that is read for the first time has less patience than a write.
    AnswerLoads();
  }
  return first;
}

absl::Status SqliteStateStore::Impl::WriteConfirmations() {
  if (file_ == nullptr) return absl::OkStatus();
  std::vector<Unsaved::Item> items;
  {
    MutexLock lock(mu_);
    items = unsaved_.TakeConfirmations();
  }
  if (items.empty()) return absl::OkStatus();
  absl::Status status = file_->Begin();
  std::vector<Target> lost;
  for (const Unsaved::Item& item : items) {
    if (!status.ok()) break;
    auto found = file_->Confirm(item.target, item.stored.index, StampAt(item.stored.confirmed));
    status = found.status();
    if (found.ok() && !*found) lost.push_back(item.target);
  }
  if (status.ok()) status = file_->Commit();
  if (!status.ok()) {
    // What was confirmed will be again; until then ages on disk are too high.
    file_->Rollback();
    return OnFailure(Operation::kSave, status);
  }
  MutexLock lock(mu_);
  for (const Target& target : lost) unsaved_.OnLost(target);
  return absl::OkStatus();
}

void SqliteStateStore::Impl::ArmNext(absl::Duration rest) {
  {
    MutexLock lock(mu_);
    const bool needed = unsaved_.has_states() || file_ == nullptr || rest > options_.delay;
    if (closing_ || !needed || write_armed_) return;
    write_armed_ = true;
  }
  Arm(std::max(rest, options_.delay), &Impl::write_due_);
}

absl::Status SqliteStateStore::Impl::Open() {
  const auto on_damage = [this](std::string_view what) { reporter_->OnDamage(what); };
  auto file = StateFile::Open(options_.file, options_.clock(), on_damage);
  if (!file.ok()) return OnFailure(Operation::kOpen, file.status());
  file_ = *std::move(file);
  expired_dropped_ = false;
  return absl::OkStatus();
}

absl::Status SqliteStateStore::Impl::OnFailure(Operation operation, const absl::Status& status) {
  reporter_->OnError(operation);
  if (!absl::IsDataLoss(status)) return status;
  file_.reset();
  auto aside = StateFile::SetAside(options_.file, options_.clock());
  if (!aside.ok()) return aside.status();
  reporter_->OnDamage(absl::StrCat("the file of last known states was damaged (", std::string(status.message()),
                                   "); it is now ", *aside, ", and a new one is begun"));
  auto file =
      StateFile::Open(options_.file, options_.clock(), [this](std::string_view what) { reporter_->OnDamage(what); });
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  MutexLock lock(mu_);
  unsaved_.OnAllLost();
  return absl::OkStatus();
}

void SqliteStateStore::Impl::ReportCondition(const absl::Status& status) {
  if (condition_.has_value() && condition_->code() == status.code()) return;
  condition_ = status;
  reporter_->OnCondition(status);
}

void SqliteStateStore::Impl::ReportKept() {
  kept_ = file_ == nullptr ? 0 : file_->targets();
  reporter_->OnKept(static_cast<int64_t>(kept_.load()), file_ == nullptr ? 0 : static_cast<int64_t>(file_->bytes()));
}

SqliteStateStore::SqliteStateStore(StateStoreOptions options, Scheduler* scheduler, StateStoreReporter* reporter)
    : impl_(std::make_shared<Impl>(std::move(options), scheduler, reporter)) {
  impl_->Start();
}

SqliteStateStore::~SqliteStateStore() { Close(); }

void SqliteStateStore::Load(const Target& target, Loaded done) { impl_->Load(target, std::move(done)); }
void SqliteStateStore::Save(const Target& target, StoredState stored) { impl_->Save(target, std::move(stored)); }
bool SqliteStateStore::HasStates() const { return impl_->HasStates(); }
void SqliteStateStore::Close() { impl_->Close(); }

}  // namespace meshgate::consul
