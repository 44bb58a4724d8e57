#include "server/auth/guard.h"

#include <algorithm>

namespace meshgate::server::auth {
namespace {

using consul::TargetKind;

constexpr absl::Duration kRecheckEvery = absl::Seconds(1);

}  // namespace

// One stream's place. Holds a message while it is being asked about: until then nothing of it is the caller's.
class Guard::Guarded final : public consul::Subscription {
 public:
  Guarded(Guard* guard, PairKey key, SharedIdentity identity, std::optional<consul::ResumeToken> resume,
          consul::Subscriber* subscriber)
      : guard_(guard),
        key_(std::move(key)),
        identity_(std::move(identity)),
        subscriber_(subscriber),
        resume_(std::move(resume)) {
    stream_.wakeup = std::make_shared<consul::Wakeup>(subscriber);
    stream_.opened = Pair::Tick();
    stream_.resumed = resume_.has_value();
    pair_ = guard_->PairOf(identity_, std::get<1>(key_), std::get<2>(key_), &stream_);
  }
  ~Guarded() override {
    stream_.wakeup->Forget();
    guard_->Leave(key_, pair_, &stream_);
  }

  absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo* memo) override {
    if (absl::Status ended = pair_->ended(); !ended.ok() && !Move()) return ended;
    if (inner_ == nullptr) {
      std::optional<absl::Status> admitted = pair_->Admit(stream_);
      if (admitted.has_value() && !admitted->ok() && Move()) admitted = pair_->Admit(stream_);
      if (!admitted.has_value()) return nullptr;
      if (!admitted->ok()) return *std::move(admitted);
      inner_ = guard_->hub_->Subscribe(std::get<1>(key_), std::get<2>(key_), std::exchange(resume_, {}), subscriber_);
    }
    if (held_ == nullptr) {
      absl::StatusOr<consul::SharedMessage> next = inner_->Next(memo);
      if (!next.ok()) return ForCallers(next.status());
      if (*next == nullptr) return next;
      held_ = *std::move(next);
    }
    return Settle();
  }

  consul::SharedMessage Progress() override {
    if (inner_ == nullptr || held_ != nullptr) return nullptr;
    held_ = inner_->Progress();
    if (held_ == nullptr) return nullptr;
    // An end is told by Next().
    absl::StatusOr<consul::SharedMessage> settled = Settle();
    return settled.ok() ? *std::move(settled) : nullptr;
  }

  TargetKind kind() const override { return std::get<1>(key_).kind; }

 private:
  // Goes on in another pair where the end of its own is from before it. One that was told something stays: what it was
  // shown is known there alone.
  bool Move() {
    if (stream_.established || !pair_->OutlivedBy(stream_)) return false;
    guard_->Leave(key_, pair_, &stream_);
    pair_ = guard_->PairOf(identity_, std::get<1>(key_), std::get<2>(key_), &stream_);
    return true;
  }

  absl::StatusOr<consul::SharedMessage> Settle() {
    std::optional<Pair::Verdict> verdict = pair_->Decide(held_, stream_);
    if (verdict.has_value() && !verdict->status.ok() && Move()) verdict = pair_->Decide(held_, stream_);
    if (!verdict.has_value()) return nullptr;
    if (!verdict->status.ok()) return verdict->status;
    if (verdict->known) stream_.resumed = false;
    // What came meanwhile has been overheard.
    stream_.wakeup->WakeSoon();
    consul::SharedMessage message = std::exchange(held_, nullptr);
    if (verdict->message != nullptr) {
      // Nothing to tell, but for what a stream has to know once: that it has no resume token any more, and is stale.
      const bool known = stream_.established && told_partial_ && told_stale_ == verdict->stale;
      if (verdict->empty && known) return nullptr;
      told_partial_ = true;
      message = std::move(verdict->message);
    }
    told_stale_ = verdict->stale;
    stream_.established = true;
    return message;
  }

  Guard* const guard_;
  const PairKey key_;
  const SharedIdentity identity_;
  consul::Subscriber* const subscriber_;
  std::optional<consul::ResumeToken> resume_;
  Pair::Stream stream_;
  std::shared_ptr<Pair> pair_;
  std::unique_ptr<consul::Subscription> inner_;
  consul::SharedMessage held_;
  bool told_partial_ = false;
  bool told_stale_ = false;
};

Guard::Guard(consul::Hub* hub, Scheduler* scheduler, std::unique_ptr<Authorizer> authorizer,
             const GuardOptions& options, uint64_t seed)
    : hub_(hub),
      scheduler_(scheduler),
      options_(options),
      authorizer_(std::move(authorizer)),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

Guard::~Guard() {
  MutexLock lock(mu_);
  if (timer_ != 0) scheduler_->Cancel(timer_);
}

std::unique_ptr<consul::Subscription> Guard::Subscribe(const SharedIdentity& identity, const consul::Target& target,
                                                       const consul::View& view,
                                                       std::optional<consul::ResumeToken> resume,
                                                       consul::Subscriber* subscriber) {
  // What a narrowed stream holds would be told by whether it was lost.
  if (IsNarrowed(target, view)) resume.reset();
  return std::make_unique<Guarded>(this, PairKey(identity->id(), target, view), identity, std::move(resume),
                                   subscriber);
}

std::shared_ptr<Pair> Guard::PairOf(const SharedIdentity& identity, const consul::Target& target,
                                    const consul::View& view, const Pair::Stream* stream) {
  MutexLock lock(mu_);
  std::shared_ptr<Pair>& pair = pairs_[PairKey(identity->id(), target, view)];
  if (pair == nullptr || !pair->ended().ok()) {
    pair = std::make_shared<Pair>(hub_, authorizer_.get(), identity, target, view);
    RecheckLaterLocked(pair);
  }
  pair->Join(stream);
  return pair;
}

void Guard::Leave(const PairKey& key, const std::shared_ptr<Pair>& pair, const Pair::Stream* stream) {
  MutexLock lock(mu_);
  if (!pair->Leave(stream)) return;
  if (const auto due = due_of_.find(pair.get()); due != due_of_.end()) {
    due_.erase(due->second);
    due_of_.erase(due);
  }
  const auto found = pairs_.find(key);
  if (found != pairs_.end() && found->second == pair) pairs_.erase(found);
}

void Guard::RecheckLaterLocked(const std::shared_ptr<Pair>& pair) {
  const double jitter = std::uniform_real_distribution<double>(0.9, 1.1)(random_);
  due_of_[pair.get()] = due_.emplace(scheduler_->Now() + jitter * options_.recheck, pair);
  ArmLocked();
}

void Guard::ArmLocked() {
  if (timer_ != 0 || due_.empty()) return;
  const absl::Duration until = due_.begin()->first - scheduler_->Now();
  timer_ = scheduler_->After(std::max(until, kRecheckEvery), [this] { OnTimer(); });
}

void Guard::OnTimer() {
  std::vector<std::shared_ptr<Pair>> now;
  {
    MutexLock lock(mu_);
    timer_ = 0;
    const absl::Time until = scheduler_->Now();
    while (!due_.empty() && due_.begin()->first <= until &&
           now.size() < static_cast<size_t>(options_.rechecks_per_second)) {
      std::shared_ptr<Pair> pair = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      due_of_.erase(pair.get());
      if (pair->ended().ok()) now.push_back(std::move(pair));
    }
    for (const auto& pair : now) RecheckLaterLocked(pair);
    ArmLocked();
  }
  for (const auto& pair : now) pair->Recheck();
}

void Guard::RecheckAll() {
  std::vector<std::shared_ptr<Pair>> pairs;
  std::vector<std::weak_ptr<Registration>> registrations;
  {
    MutexLock lock(mu_);
    for (const auto& [key, pair] : pairs_) pairs.push_back(pair);
    for (const auto& [id, registration] : registrations_) registrations.push_back(registration);
  }
  for (const auto& pair : pairs) pair->RecheckAll();
  for (const auto& registration : registrations) RecheckRegistration(registration);
}

}  // namespace meshgate::server::auth
