// When an UpstreamPool plans, and how it changes from one plan to the next.
#include <algorithm>
#include <cstdint>
#include <set>

#include "consul/upstream/upstream_pool.h"

namespace meshgate::consul {
namespace {

// Targets that come together are planned together.
constexpr absl::Duration kPlanDelay = absl::Milliseconds(150);
// Queries of the plan before have to run out.
constexpr absl::Duration kBetweenPlans = absl::Milliseconds(500);

// However many seats there are, no more queries are planned with: each costs Consul a goroutine and us a transfer, and
// Consul wakes one for an absent key at every write of its neighbours.
constexpr size_t kMostQueries = 160;

// What was measured of a prefix that is not asked for any more counts for so long.
constexpr absl::Duration kMeasureAge = absl::Minutes(10);
constexpr size_t kMaxMeasured = 1000;

// Estimates are rough; what is read is refused at SharedQuery::kMaxBytes.
constexpr size_t kMaxPlannedBytes = SharedQuery::kMaxBytes / 2;
// An answer that holds so many times what its members need, and so much at least, is worth another plan.
constexpr size_t kWide = 4;
constexpr size_t kWideBytes = 1 << 20;

}  // namespace

UpstreamPool::Budget UpstreamPool::BudgetLocked() const {
  if (!context_->shares()) return {SIZE_MAX, SIZE_MAX};
  const auto seats = static_cast<size_t>(std::max(1, context_->backend->MaxBlockingQueries()));
  const size_t limit = std::min(seats, kMostQueries);
  // Services can't share; however many there are, something is left for keys.
  const size_t least = std::max<size_t>(1, limit / 8);
  // Those beyond the limit have seats that keys may not use.
  const size_t others = unshareable_ - std::min(unshareable_, seats - limit);
  const auto left = [&](size_t of) { return std::max(least, of - std::min(of, others)); };
  return {left(limit / 2), left(limit - limit / 4)};
}

void UpstreamPool::PlanIfTooManyLocked() {
  size_t ceiling = BudgetLocked().ceiling;
  // Where the last plan could not keep to the budget the next one can't either, until much has changed.
  if (planned_queries_ > ceiling) ceiling = planned_queries_ + planned_queries_ / 4;
  if (QueriesLocked() > ceiling) PlanSoonLocked();
}

void UpstreamPool::PlanIfFewLocked() {
  if (shares_.empty()) return;
  if (shareable_ <= BudgetLocked().target || 2 * shareable_ < planned_targets_) PlanSoonLocked();
}

void UpstreamPool::PlanSoonLocked() {
  if (plan_timer_ != 0 || shut_down_) return;
  const absl::Duration delay = std::max(kPlanDelay, planned_at_ + kBetweenPlans - context_->scheduler->Now());
  plan_timer_ = context_->scheduler->After(delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Replan();
  });
}

void UpstreamPool::WeighLocked(SharedQuery& share, size_t bytes) {
  share.bytes_ = bytes;
  if (bytes < kWideBytes || bytes < 2 * share.weighed_bytes_) return;
  share.weighed_bytes_ = bytes;
  size_t needed = 0;
  for (const auto& [key, member] : share.members_) needed += member->bytes_;
  if (bytes >= kWide * needed) PlanSoonLocked();
}

void UpstreamPool::RememberSizeLocked(const SharedQuery& share) {
  if (share.bytes_ < kWideBytes) return;
  if (measured_.size() >= kMaxMeasured) measured_.clear();
  measured_[{share.datacenter(), share.prefix()}] = {share.bytes_, context_->scheduler->Now()};
}

void UpstreamPool::Replan() {
  std::vector<PlannedTarget> targets;
  std::vector<std::shared_ptr<UpstreamMember>> planned;
  std::vector<MeasuredPrefix> measured;
  PlannerOptions options;
  options.max_bytes = kMaxPlannedBytes;
  {
    MutexLock lock(mu_);
    plan_timer_ = 0;
    if (shut_down_) return;
    planned_at_ = context_->scheduler->Now();
    options.queries = BudgetLocked().target;
    targets.reserve(shareable_);
    planned.reserve(shareable_);
    for (const auto& member : members_) {
      if (!member->ready_ || !member->shareable()) continue;
      const Target& target = member->target_;
      targets.push_back({target.datacenter, target.name, member->bytes_, target.kind == TargetKind::kPrefix});
      planned.push_back(member);
    }
    for (auto it = measured_.begin(); it != measured_.end();) {
      if (planned_at_ - it->second.at > kMeasureAge || shares_.count(it->first) > 0) {
        it = measured_.erase(it);
      } else {
        measured.push_back({it->first.first, it->first.second, it->second.bytes});
        ++it;
      }
    }
    for (const auto& [key, share] : shares_) {
      if (share->bytes_ > 0) measured.push_back({key.first, key.second, share->bytes_});
    }
  }
  const Plan plan = MakePlan(targets, measured, options);
  Todo todo;
  {
    MutexLock lock(mu_);
    if (shut_down_) return;
    planned_targets_ = planned.size();
    planned_queries_ = plan.queries();
    ApplyLocked(plan, planned, todo);
  }
  context_->reporter->OnReplan();
  Do(std::move(todo));
}

void UpstreamPool::ApplyLocked(const Plan& plan, const std::vector<std::shared_ptr<UpstreamMember>>& planned,
                               Todo& todo) {
  // Those of the plan before, which are no longer joined by anybody new.
  std::map<ShareKey, std::shared_ptr<SharedQuery>> before = shares_;
  for (const PlannedShare& wanted : plan.shares) {
    before.erase({wanted.datacenter, wanted.prefix});
    SharedQuery& share = ShareLocked({wanted.datacenter, wanted.prefix}, todo);
    for (const size_t i : wanted.members) {
      if (!planned[i]->watched_ || planned[i]->share_ == &share) continue;
      if (CanJoinLocked(*planned[i], share)) {
        JoinLocked(planned[i], share, todo);
      } else {
        // It is behind, or ahead: a read of its own tells, after which it joins.
        WatchAloneLocked(planned[i], todo);
      }
    }
  }
  for (const size_t i : plan.alone) {
    if (planned[i]->watched_ && planned[i]->share_ != nullptr) WatchAloneLocked(planned[i], todo);
  }
  for (const auto& [key, share] : before) {
    // Those that have joined while the plan was being made.
    while (!share->members_.empty()) {
      WatchAloneLocked(share->members_.begin()->second->shared_from_this(), todo);
    }
    RetireShareLocked(*share, todo);
  }
  std::vector<SharedQuery*> empty;
  for (const auto& [key, share] : shares_) {
    if (share->members_.empty()) empty.push_back(share.get());
  }
  for (SharedQuery* share : empty) RetireShareLocked(*share, todo);
}

}  // namespace meshgate::consul
