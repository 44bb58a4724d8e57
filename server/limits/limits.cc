#include "server/limits/limits.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::server::limits {
namespace {

using Limit = metrics::LimitReporter::Limit;
using Scope = metrics::LimitReporter::Scope;

// So many callers are few enough to be looked through.
constexpr size_t kFewCallers = 1024;

// For what has no time of its own: somebody may leave meanwhile.
constexpr absl::Duration kComeBack = absl::Seconds(5);

void Fill(std::optional<consul::TokenBucket>* bucket, int64_t per_second) {
  bucket->emplace(static_cast<int>(per_second), absl::Seconds(1) / per_second);
}

bool Counts(const Budget& budget) { return budget.streams > 0 || budget.targets > 0; }

bool Over(int64_t used, int64_t limit) { return limit > 0 && used >= limit; }

}  // namespace

Limits::Limits(Scheduler* clock, metrics::LimitReporter* reporter, const LimitsOptions& options)
    : clock_(clock),
      reporter_(reporter),
      options_(options),
      counts_streams_(Counts(options.caller) || Counts(options.all)),
      forget_at_(kFewCallers) {
  if (options.all.requests > 0) Fill(&requests_, options.all.requests);
}

Limits::~Limits() = default;

absl::Status Limits::TakeRequest(absl::FunctionRef<std::string()> caller) {
  const bool each = options_.caller.requests > 0;
  if (!each && options_.all.requests == 0) return absl::OkStatus();
  const std::string key = each ? caller() : "";
  const absl::Time now = clock_->Now();
  absl::Duration wait;
  Scope scope = Scope::kCaller;
  {
    MutexLock lock(mu_);
    consul::TokenBucket* const own = each ? &*CallerLocked(key).second.requests : nullptr;
    if (own != nullptr) wait = own->Wait(now);
    if (wait == absl::ZeroDuration() && requests_.has_value()) {
      scope = Scope::kAll;
      wait = requests_->Wait(now);
    }
    // From both or from neither: nobody pays for what others use up.
    if (wait == absl::ZeroDuration()) {
      if (own != nullptr) own->Take(now);
      if (requests_.has_value()) requests_->Take(now);
      return absl::OkStatus();
    }
  }
  return Refuse(Limit::kRequests, scope, wait);
}

absl::StatusOr<std::unique_ptr<Limits::Place>> Limits::OpenStream(const std::string& caller) {
  std::unique_ptr<Place> place(new Place(this));
  if (!counts_streams_) return place;
  Scope full = Scope::kAll;
  {
    MutexLock lock(mu_);
    if (!Over(streams_, options_.all.streams)) {
      Caller& own = CallerLocked(caller);
      full = Scope::kCaller;
      if (!Over(own.second.streams, options_.caller.streams)) {
        ++own.second.streams;
        ++streams_;
        place->caller_ = &own;
        return place;
      }
    }
  }
  return Refuse(Limit::kStreams, full, kComeBack);
}

absl::Status Limits::Place::TakeTarget(const consul::Target& target) { return limits_->TakeTarget(target, this); }

Limits::Place::~Place() { limits_->Leave(this); }

absl::Status Limits::TakeTarget(const consul::Target& target, Place* place) {
  const auto full = [&target](const Targets& taken, int64_t limit) {
    return Over(static_cast<int64_t>(taken.size()), limit) && !taken.contains(target);
  };
  const auto take = [&target](Targets* taken) {
    Target& own = *taken->try_emplace(target).first;
    ++own.second;
    return &own;
  };
  Scope scope = Scope::kCaller;
  {
    if (place->caller_ == nullptr) return absl::OkStatus();
    MutexLock lock(mu_);
    Targets& own = place->caller_->second.targets;
    const bool each = full(own, options_.caller.targets);
    if (!each && !full(targets_, options_.all.targets)) {
      if (options_.caller.targets > 0) place->callers_target_ = take(&own);
      if (options_.all.targets > 0) place->target_ = take(&targets_);
      return absl::OkStatus();
    }
    if (!each) scope = Scope::kAll;
  }
  return Refuse(Limit::kTargets, scope, kComeBack);
}

void Limits::Leave(Place* place) {
  const auto give_back = [](Targets* taken, Target* own) {
    if (own != nullptr && --own->second == 0) taken->erase(taken->find(own->first));
  };
  // It was refused, or nobody counts.
  if (place->caller_ == nullptr) return;
  MutexLock lock(mu_);
  --streams_;
  Use& use = place->caller_->second;
  give_back(&use.targets, place->callers_target_);
  give_back(&targets_, place->target_);
  if (--use.streams == 0 && !use.requests.has_value()) callers_.erase(callers_.find(place->caller_->first));
}

size_t Limits::callers() {
  MutexLock lock(mu_);
  return callers_.size();
}

Limits::Caller& Limits::CallerLocked(const std::string& key) {
  if (callers_.size() >= forget_at_) ForgetIdleLocked();
  const auto [found, is_new] = callers_.try_emplace(key);
  if (is_new && options_.caller.requests > 0) Fill(&found->second.requests, options_.caller.requests);
  return *found;
}

void Limits::ForgetIdleLocked() {
  const absl::Time now = clock_->Now();
  for (auto it = callers_.begin(); it != callers_.end();) {
    const Use& use = it->second;
    const bool idle = use.streams == 0 && (!use.requests.has_value() || use.requests->full(now));
    const auto next = std::next(it);
    if (idle) callers_.erase(it);
    it = next;
  }
  forget_at_ = std::max(kFewCallers, 2 * callers_.size());
}

absl::Status Limits::Refuse(Limit limit, Scope scope, absl::Duration wait) {
  reporter_->OnRefused(limit, scope);
  const bool own = scope == Scope::kCaller;
  const Budget& budget = own ? options_.caller : options_.all;
  const char* const option = own ? "--limit_caller_" : "--limit_";
  const char* const who = own ? "this caller has" : "all callers together have";
  std::string_view reason;
  std::string message;
  switch (limit) {
    case Limit::kRequests:
      reason = kTooManyRequests;
      message = absl::StrCat(who, " made ", budget.requests, " calls within a second (", option,
                             "requests): call less often, or watch what is polled");
      break;
    case Limit::kStreams:
      reason = kTooManyStreams;
      message = absl::StrCat(who, " ", budget.streams, " streams open (", option,
                             "streams): close some, or share one between the readers of a process");
      break;
    case Limit::kTargets:
      reason = kTooManyTargets;
      message = absl::StrCat(who, " streams of ", budget.targets, " keys, prefixes and services (", option,
                             "targets): watch a prefix in place of its keys");
      break;
  }
  return WithRetryAfter(MakeError(absl::StatusCode::kResourceExhausted, reason, message), wait);
}

}  // namespace meshgate::server::limits
