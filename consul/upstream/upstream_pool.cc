#include "consul/upstream/upstream_pool.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

// Members of a shared query whose part of an answer has not changed hear that it was confirmed at most so often.
constexpr absl::Duration kConfirmEvery = absl::Seconds(5);

// Reads that don't block, for each so many seats: half of what the backend keeps for them, so that callers' own are
// never behind a crowd of ours.
constexpr int kSeatsPerRead = 8;

// Reads in a row of a target that changes faster than it can be read, before it sits alone or is polled for a while.
constexpr int kMaxCatchUps = 3;

std::shared_ptr<UpstreamContext> MakeContext(Backend* backend, Scheduler* scheduler, WatchReporter* reporter,
                                             absl::Duration wait) {
  auto context = std::make_shared<UpstreamContext>();
  context->backend = backend;
  context->scheduler = scheduler;
  context->reporter = reporter;
  context->wait = wait;
  const auto reserve = [](int limit) { return limit / 4; };
  const auto seats = [backend] { return backend->MaxBlockingQueries(); };
  const auto reads = [backend] { return std::max(1, backend->MaxBlockingQueries() / kSeatsPerRead); };
  context->seats = std::make_shared<Seats>(scheduler, seats, reserve);
  context->reads = std::make_shared<Seats>(scheduler, reads, reserve);
  return context;
}

// One seed per target and process, so that many targets that fail together don't retry together.
template <typename T>
uint64_t SeedOf(const T& what, Scheduler* scheduler) {
  return absl::HashOf(what) ^ static_cast<uint64_t>(absl::ToUnixNanos(scheduler->Now()));
}

}  // namespace

std::shared_ptr<UpstreamPool> UpstreamPool::Make(Backend* backend, Scheduler* scheduler, WatchReporter* reporter,
                                                 absl::Duration wait) {
  return std::shared_ptr<UpstreamPool>(new UpstreamPool(backend, scheduler, reporter, wait));
}

UpstreamPool::UpstreamPool(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, absl::Duration wait)
    : context_(MakeContext(backend, scheduler, reporter, wait)), limit_seen_(backend->MaxBlockingQueries()) {}

std::shared_ptr<UpstreamMember> UpstreamPool::Watch(Target target, std::weak_ptr<Listener> listener) {
  return std::make_shared<UpstreamMember>(weak_from_this(), std::move(target), std::move(listener));
}

void UpstreamPool::Shutdown() {
  Todo todo;
  {
    MutexLock lock(mu_);
    if (shut_down_) return;
    shut_down_ = true;
    if (plan_timer_ != 0) context_->scheduler->Cancel(plan_timer_);
    for (const auto& member : members_) LeaveLocked(*member, todo);
    members_.clear();
    for (const auto& [key, share] : shares_) todo.stop.push_back(std::move(share->loop_));
    shares_.clear();
  }
  Do(std::move(todo));
  context_->seats->Close();
  context_->reads->Close();
}

// ---- Members and their own queries.

void UpstreamPool::Start(const std::shared_ptr<UpstreamMember>& member) {
  Todo todo;
  {
    MutexLock lock(mu_);
    if (shut_down_ || member->stopped_ || member->watched_) return;
    member->watched_ = true;
    members_.insert(member);
    ++(member->shareable() ? shareable_ : unshareable_);
    WatchAloneLocked(member, todo);
  }
  Do(std::move(todo));
}

void UpstreamPool::Stop(UpstreamMember& member) {
  Todo todo;
  {
    MutexLock lock(mu_);
    member.stopped_ = true;
    if (!member.watched_ || shut_down_) return;
    member.watched_ = false;
    SharedQuery* const share = member.share_;
    LeaveLocked(member, todo);
    if (share != nullptr && share->members_.empty()) RetireShareLocked(*share, todo);
    --(member.shareable() ? shareable_ : unshareable_);
    members_.erase(member.shared_from_this());
    PlanIfFewLocked();
  }
  Do(std::move(todo));
}

bool UpstreamPool::OnOwnState(UpstreamMember& member, uint64_t stint, const Fetched& fetched, bool reset) {
  // Empty for services and catalogs, which share with nobody.
  const SeenEntries seen = context_->shares() ? SeenEntries(fetched.state->entries) : SeenEntries();
  {
    MutexLock lock(mu_);
    if (member.stint_ != stint) return true;
    if (!std::exchange(member.ready_, true) && member.shareable()) ++alone_;
    member.NoteLocked(seen);
    member.present_ = !fetched.state->entries.empty();
    member.known_ = member.sent_;
    member.mailbox_.Push(Mailbox::State(fetched, reset));
  }
  return member.mailbox_.Deliver();
}

void UpstreamPool::OnOwnNews(UpstreamMember& member, uint64_t stint, Mailbox::News news) {
  {
    MutexLock lock(mu_);
    if (member.stint_ != stint) return;
    member.mailbox_.Push(std::move(news));
  }
  member.mailbox_.Deliver();
}

void UpstreamPool::OnOwnSend(UpstreamMember& member, uint64_t stint) {
  MutexLock lock(mu_);
  if (member.stint_ == stint) member.sent_ = ++events_;
}

bool UpstreamPool::OnOwnSeatWanted(const std::shared_ptr<UpstreamMember>& member, uint64_t stint) {
  Todo todo;
  {
    MutexLock lock(mu_);
    if (member->stint_ != stint) return false;
    if (!member->shareable()) {
      // Keys can make room for it.
      PlanIfTooManyLocked();
      return false;
    }
    SharedQuery* const share = FindShareLocked(member->target_);
    if (share == nullptr) {
      PlanIfTooManyLocked();
      return false;
    }
    if (!CanJoinLocked(*member, *share)) {
      if (member->catch_ups_++ < kMaxCatchUps) return true;
      member->catch_ups_ = 0;
      return false;
    }
    JoinLocked(member, *share, todo);
  }
  Do(std::move(todo));
  return false;
}

void UpstreamPool::CheckLimit() {
  const int limit = context_->backend->MaxBlockingQueries();
  if (limit_seen_ == limit || limit_seen_.exchange(limit) == limit) return;
  MutexLock lock(mu_);
  PlanSoonLocked();
}

// ---- Membership.

SharedQuery* UpstreamPool::FindShareLocked(const Target& target) const {
  for (auto it = share_lengths_.rbegin(); it != share_lengths_.rend(); ++it) {
    if (it->first > target.name.size()) continue;
    auto share = shares_.find({target.datacenter, target.name.substr(0, it->first)});
    if (share != shares_.end()) return share->second.get();
  }
  return nullptr;
}

SharedQuery& UpstreamPool::ShareLocked(const ShareKey& key, Todo& todo) {
  std::shared_ptr<SharedQuery>& share = shares_[key];
  if (share != nullptr) return *share;
  share = std::make_shared<SharedQuery>(weak_from_this(), key.first, key.second);
  share->loop_ = std::make_shared<UpstreamWatch>(context_, Target{TargetKind::kPrefix, key.second, key.first, ""},
                                                 Seats::Rank::kShared, SharedQuery::kMaxBytes,
                                                 std::weak_ptr<Listener>(share), SeedOf(key, context_->scheduler));
  ++share_lengths_[key.second.size()];
  todo.start.push_back(share->loop_);
  return *share;
}

void UpstreamPool::RetireShareLocked(SharedQuery& share, Todo& todo) {
  todo.stop.push_back(std::move(share.loop_));
  auto length = share_lengths_.find(share.prefix().size());
  if (--length->second == 0) share_lengths_.erase(length);
  RememberSizeLocked(share);
  shares_.erase(ShareKey(share.datacenter(), share.prefix()));
}

bool UpstreamPool::CanJoinLocked(const UpstreamMember& member, const SharedQuery& share) const {
  // Never answered: it begins with a read that covers the member.
  return share.answered_ == 0 || member.known_ > share.answered_ || member.SameInLocked(share.seen_);
}

void UpstreamPool::JoinLocked(const std::shared_ptr<UpstreamMember>& member, SharedQuery& share, Todo& todo) {
  LeaveLocked(*member, todo);
  member->share_ = &share;
  share.Add(member);
  context_->reporter->OnSharedTargets(+1);
}

void UpstreamPool::LeaveLocked(UpstreamMember& member, Todo& todo) {
  if (member.own_ != nullptr) {
    todo.stop.push_back(std::move(member.own_));
    if (member.ready_ && member.shareable()) --alone_;
  }
  member.own_listener_ = nullptr;
  if (member.share_ != nullptr) {
    std::exchange(member.share_, nullptr)->Remove(member);
    context_->reporter->OnSharedTargets(-1);
  }
  member.covered_ = false;
  member.sent_ = member.known_ = 0;
  member.catch_ups_ = 0;
  member.stint_ = next_stint_++;
}

void UpstreamPool::WatchAloneLocked(const std::shared_ptr<UpstreamMember>& member, Todo& todo) {
  LeaveLocked(*member, todo);
  member->own_listener_ = std::make_shared<UpstreamMember::OwnQuery>(member, member->stint_);
  member->own_ = std::make_shared<UpstreamWatch>(context_, member->target_, Seats::Rank::kAlone, /*max_bytes=*/0,
                                                 member->own_listener_, SeedOf(member->target_, context_->scheduler));
  if (member->ready_ && member->shareable()) ++alone_;
  todo.start.push_back(member->own_);
}

void UpstreamPool::Do(Todo todo) {
  for (const auto& loop : todo.stop) loop->Stop();
  for (const auto& loop : todo.start) loop->Start();
  for (const auto& member : todo.deliver) member->mailbox_.Deliver();
}

// ---- Shared queries.

bool UpstreamPool::NeedsConfirmation(const UpstreamMember& member, std::pair<size_t, size_t> part) {
  return member.target_.kind == TargetKind::kKey && member.present_ && part.first == part.second;
}

bool UpstreamPool::OnShareAsk(SharedQuery& share) {
  CheckLimit();
  MutexLock lock(mu_);
  return !share.joined_.empty();
}

void UpstreamPool::OnShareSend(SharedQuery& share) {
  MutexLock lock(mu_);
  std::move(share.joined_.begin(), share.joined_.end(), std::back_inserter(share.asked_));
  share.joined_.clear();
}

bool UpstreamPool::OnShareState(SharedQuery& share, const Fetched& fetched, bool reset, SeenEntries seen,
                                const std::vector<std::string>& changed) {
  struct Part {
    SharedQuery::Joined of;
    std::pair<size_t, size_t> range;
    SharedState state;
    SeenEntries seen;
    bool lost = false;
  };
  const std::vector<KvEntry>& entries = fetched.state->entries;
  std::vector<Part> parts;
  Todo todo;
  bool any = false;
  {
    MutexLock lock(mu_);
    if (share.loop_ == nullptr) return true;
    share.seen_ = std::move(seen);
    share.answered_ = ++events_;
    std::vector<UpstreamMember*> found;
    for (const std::string& key : changed) share.FindWhoSees(key, found);
    found.erase(std::remove_if(found.begin(), found.end(), [](const UpstreamMember* m) { return !m->covered_; }),
                found.end());
    for (const auto& [member, stint] : share.asked_) {
      if (member->stint_ != stint) continue;
      member->covered_ = true;
      found.push_back(member.get());
    }
    share.asked_.clear();
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    // It may have woken for one that has just joined.
    any = !found.empty() || !share.joined_.empty();
    for (UpstreamMember* member : found) {
      const auto range = PartOf(member->target_, entries);
      if (member->SameInLocked(share.seen_)) {
        // What a member has that is new here.
        member->mailbox_.Push(Mailbox::Confirmed(fetched.meta.received));
        todo.deliver.push_back(member->shared_from_this());
      } else if (NeedsConfirmation(*member, range)) {
        WatchAloneLocked(member->shared_from_this(), todo);
      } else {
        parts.push_back({{member->shared_from_this(), member->stint_}, range, nullptr, {}});
      }
    }
    WeighLocked(share, share.seen_.bytes());
    if (share.members_.empty()) RetireShareLocked(share, todo);
  }
  // Copied without the lock: a part may be large.
  for (Part& part : parts) {
    auto state = std::make_shared<State>();
    state->entries.assign(entries.begin() + static_cast<std::ptrdiff_t>(part.range.first),
                          entries.begin() + static_cast<std::ptrdiff_t>(part.range.second));
    part.seen = SeenEntries(state->entries);
    part.lost = !part.of.first->mailbox_.WhatIsLost(*state).empty();
    part.state = std::move(state);
  }
  {
    MutexLock lock(mu_);
    for (Part& part : parts) {
      UpstreamMember& member = *part.of.first;
      if (member.stint_ != part.of.second) continue;
      if (part.lost) {
        // As a key that is gone.
        WatchAloneLocked(part.of.first, todo);
        continue;
      }
      member.NoteLocked(part.seen);
      member.mailbox_.Push(Mailbox::State({std::move(part.state), fetched.meta}, reset));
      todo.deliver.push_back(std::move(part.of.first));
    }
    const bool back = std::exchange(share.failing_, false);
    if (back || fetched.meta.received - share.confirmed_ >= kConfirmEvery) {
      share.confirmed_ = fetched.meta.received;
      for (const auto& [key, member] : share.members_) {
        if (!member->covered_) continue;
        member->mailbox_.Push(Mailbox::Confirmed(fetched.meta.received));
        todo.deliver.push_back(member->shared_from_this());
      }
    }
    if (share.loop_ != nullptr && share.members_.empty()) RetireShareLocked(share, todo);
  }
  Do(std::move(todo));
  return any;
}

void UpstreamPool::OnShareConfirmed(SharedQuery& share, absl::Time received) {
  Todo todo;
  {
    MutexLock lock(mu_);
    share.failing_ = false;
    share.confirmed_ = received;
    for (const auto& [key, member] : share.members_) {
      if (!member->covered_) continue;
      member->mailbox_.Push(Mailbox::Confirmed(received));
      todo.deliver.push_back(member->shared_from_this());
    }
  }
  Do(std::move(todo));
}

void UpstreamPool::OnShareFailure(SharedQuery& share, const absl::Status& error, int consecutive) {
  Todo todo;
  {
    MutexLock lock(mu_);
    // Listing may be forbidden where reading is not (acl.enable_key_list_policy).
    if (ReasonOf(error) == reason::kAnswerTooLarge || absl::IsPermissionDenied(error)) {
      // Says nothing about the members, and the plan was a bad one.
      WeighLocked(share, 2 * SharedQuery::kMaxBytes);
      PlanSoonLocked();
      return;
    }
    share.failing_ = true;
    for (const auto& [key, member] : share.members_) {
      member->mailbox_.Push(Mailbox::Failure(error, consecutive));
      todo.deliver.push_back(member->shared_from_this());
    }
  }
  Do(std::move(todo));
}

}  // namespace meshgate::consul
