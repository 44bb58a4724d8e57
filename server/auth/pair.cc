#include "server/auth/pair.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/hash/hash.h"
#include "server/auth/permissions.h"

namespace meshgate::server::auth {
namespace {

using consul::Permission;
using consul::TargetKind;

// Streams that take a message a little later, on another thread or from a slower connection, share the answer.
constexpr absl::Duration kShareFor = absl::Seconds(1);
// While Consul does not tell.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);
// Parts in one recheck, with which the target itself still fits one question.
constexpr size_t kRecheckedTogether = 63;

}  // namespace

// A message, and what was found out about it.
struct Pair::Inquiry {
  // Messages stay with those who are to get them.
  std::weak_ptr<const consul::Message> about;
  // Of no message: whether streams may begin.
  bool admits = false;
  bool resumed = false;
  // When the question went out; 0: it has not yet.
  std::atomic<uint64_t> begun{0};
  std::optional<Verdict> verdict;
  absl::Time answered;
  Wakes waiting;

  bool CountsFor(const consul::SharedMessage& message, const Stream& stream) const {
    if (admits != (message == nullptr)) return false;
    if (!admits && (about.lock() != message || resumed != stream.resumed)) return false;
    const uint64_t at = begun;
    return at == 0 || at > stream.opened;
  }
};

Pair::Pair(consul::Hub* hub, Authorizer* authorizer, SharedIdentity identity, consul::Target target, consul::View view)
    : hub_(hub),
      authorizer_(authorizer),
      identity_(std::move(identity)),
      target_(std::move(target)),
      view_(std::move(view)),
      narrowed_(IsNarrowed(target_, view_)) {}

uint64_t Pair::Tick() {
  static std::atomic<uint64_t> ticks{0};
  return ++ticks;
}

void Pair::Join(const Stream* stream) {
  MutexLock lock(mu_);
  streams_.insert(stream);
}

bool Pair::Leave(const Stream* stream) {
  MutexLock lock(mu_);
  streams_.erase(stream);
  return streams_.empty();
}

absl::Status Pair::ended() {
  if (!has_ended_) return absl::OkStatus();
  MutexLock lock(mu_);
  return ended_;
}

bool Pair::OutlivedBy(const Stream& stream) {
  MutexLock lock(mu_);
  return !ended_.ok() && stream.opened > ended_by_;
}

std::optional<Pair::Verdict> Pair::Decide(const consul::SharedMessage& message, const Stream& stream) {
  return Find(message, stream);
}

std::optional<absl::Status> Pair::Admit(const Stream& stream) {
  if (!authorizer_->MayEverShow(*identity_, target_)) return DeniedOf(target_.kind, *identity_);
  const Question whole{*WholeOf(target_, false), 0};
  // Whoever was shortly before may have Consul asked; what it is told waits for an answer of its own.
  const std::optional<bool> known = authorizer_->LastKnown(identity_, target_.datacenter, whole);
  if (known.has_value() && (*known || !WholeDecides(target_.kind))) return absl::OkStatus();
  std::optional<Verdict> verdict = Find(nullptr, stream);
  if (!verdict.has_value()) return std::nullopt;
  return verdict->status;
}

std::optional<Pair::Verdict> Pair::Find(const consul::SharedMessage& message, const Stream& stream) {
  std::shared_ptr<Inquiry> inquiry;
  {
    MutexLock lock(mu_);
    if (!ended_.ok()) return Verdict{ended_};
    DropOldLocked();
    for (const auto& known : inquiries_) {
      if (!known->CountsFor(message, stream)) continue;
      if (!known->verdict.has_value()) {
        known->waiting.insert(stream.wakeup);
        return std::nullopt;
      }
      if (absl::IsUnavailable(known->verdict->status) && stream.established) {
        // What it holds is as good as before.
        RetryLaterLocked(stream);
        return std::nullopt;
      }
      authorizer_->reporter()->OnCheck(metrics::AuthReporter::Result::kCached);
      return known->verdict;
    }
    inquiry = std::make_shared<Inquiry>();
    inquiry->about = message;
    inquiry->admits = message == nullptr;
    inquiry->resumed = stream.resumed;
    inquiry->waiting.insert(stream.wakeup);
    inquiries_.push_back(inquiry);
  }
  // A large message takes time to look through, which the transport's thread does not have.
  authorizer_->scheduler()->Post([self = shared_from_this(), inquiry, message] {
    message == nullptr ? self->AskToAdmit(inquiry) : self->Ask(inquiry, message);
  });
  return std::nullopt;
}

void Pair::AskToAdmit(const std::shared_ptr<Inquiry>& inquiry) {
  authorizer_->Check(
      identity_, target_.datacenter, {{*WholeOf(target_, false), 0}}, Authorizer::Grace::kLastKnown,
      [inquiry] { inquiry->begun = Tick(); },
      [self = shared_from_this(), inquiry](absl::StatusOr<std::vector<bool>> allowed) {
        Verdict verdict;
        if (!allowed.ok()) verdict.status = allowed.status();
        if (allowed.ok() && !allowed->front() && WholeDecides(self->target_.kind)) {
          verdict.status = DeniedOf(self->target_.kind, *self->identity_);
        }
        self->Conclude(inquiry, std::move(verdict));
      });
}

void Pair::Ask(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message) {
  Contents contents = ContentsOf(target_.kind, *message);
  if (!inquiry->resumed || !contents.known || target_.kind == TargetKind::kKey) {
    return AskWith(inquiry, message, std::move(contents), {});
  }
  // The message is the difference alone; what the stream holds beside it must be allowed, too.
  hub_->Read(target_, consul::CachedReadOptions(),
             [self = shared_from_this(), inquiry, message,
              contents = std::move(contents)](absl::StatusOr<consul::CachedState> cached) mutable {
               if (!cached.ok()) {
                 // Taken for nothing, it would be missing from the next snapshot as if it had been deleted.
                 Verdict verdict;
                 verdict.status = PermissionUnknown(cached.status());
                 return self->Conclude(inquiry, std::move(verdict));
               }
               std::vector<Part> held = self->PartsSeen(*cached);
               self->AskWith(inquiry, message, std::move(contents), std::move(held));
             });
}

void Pair::AskWith(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message, Contents contents,
                   std::vector<Part> held) {
  std::vector<Question> questions;
  if (auto whole = WholeOf(target_, !contents.parts.empty() || !held.empty())) {
    questions.push_back({*std::move(whole), target_.kind == TargetKind::kService ? contents.index : 0});
  }
  if (target_.kind == TargetKind::kKey) {
    for (const Part& part : contents.parts) questions.front().index = std::max(questions.front().index, part.index);
  } else {
    for (const Part& part : contents.parts) questions.push_back({PermissionOf(part.name), part.index});
    for (const Part& part : held) questions.push_back({PermissionOf(part.name), part.index});
  }
  authorizer_->Check(
      identity_, target_.datacenter, std::move(questions), Authorizer::Grace::kLastKnown,
      [inquiry] { inquiry->begun = Tick(); },
      [self = shared_from_this(), inquiry, message, contents = std::move(contents),
       held = std::move(held)](absl::StatusOr<std::vector<bool>> allowed) {
        self->OnAnswer(inquiry, message, contents, held, std::move(allowed));
      });
}

void Pair::OnAnswer(const std::shared_ptr<Inquiry>& inquiry, const consul::SharedMessage& message,
                    const Contents& contents, const std::vector<Part>& held,
                    absl::StatusOr<std::vector<bool>> allowed) {
  Verdict verdict;
  Hidden hidden;
  bool filter = false;
  {
    MutexLock lock(mu_);
    verdict.status = allowed.ok() ? JudgeLocked(contents, held, inquiry->resumed, *allowed, &hidden) : allowed.status();
    filter = verdict.status.ok() && partial_;
  }
  if (filter) {
    verdict.message = WithoutHidden(target_.kind, *message,
                                    [&](const std::string& name) { return !hidden.contains(NumberOf(name)); });
    verdict.empty = !contents.snapshot && !contents.parts.empty() && hidden.size() == contents.parts.size();
  }
  verdict.stale = contents.stale;
  verdict.known = contents.known;
  Conclude(inquiry, std::move(verdict));
}

void Pair::Conclude(const std::shared_ptr<Inquiry>& inquiry, Verdict verdict) {
  Wakes wakes;
  bool again = false;
  {
    MutexLock lock(mu_);
    // It may show what was not there to be looked at.
    again = inquiry->begun < recheck_all_;
    // What a stream that goes on once held says nothing of the others.
    const bool its_own = inquiry->resumed && absl::IsPermissionDenied(verdict.status);
    if (!verdict.status.ok() && !absl::IsUnavailable(verdict.status) && !its_own) {
      EndLocked(verdict.status, inquiry->begun, &wakes);
    }
    inquiry->verdict = std::move(verdict);
    inquiry->answered = authorizer_->scheduler()->Now();
    wakes.insert(inquiry->waiting.begin(), inquiry->waiting.end());
    inquiry->waiting.clear();
  }
  WakeAll(wakes);
  if (again) RecheckAll();
}

absl::Status Pair::JudgeLocked(const Contents& contents, const std::vector<Part>& held, bool resumed,
                               const std::vector<bool>& allowed, Hidden* hidden) {
  auto answer = allowed.begin();
  if (WholeOf(target_, !contents.parts.empty() || !held.empty()).has_value()) {
    const bool whole = *answer++;
    const bool counts = WholeDecides(target_.kind) || (contents.known && WholeCountsLocked());
    if (!whole && counts) return DeniedOf(target_.kind, *identity_);
  }
  if (target_.kind == TargetKind::kKey) return absl::OkStatus();

  for (const Part& part : contents.parts) {
    const size_t number = NumberOf(part.name);
    if (!*answer++) {
      if (resumed || shown_.contains(number)) return LostOf(target_.kind);
      hidden->insert(number);
    } else if (part.gone && target_.kind == TargetKind::kPrefix) {
      shown_.erase(number);
    } else {
      shown_.insert(number);
    }
  }
  for (const Part& part : held) {
    if (!*answer++) return LostOf(target_.kind);
    shown_.insert(NumberOf(part.name));
  }
  const bool nothing = !hidden->empty() && hidden->size() == contents.parts.size() && shown_.empty();
  if (nothing && contents.snapshot && !narrowed_) return DeniedOf(target_.kind, *identity_);
  // Whether there is a token for all that matches would tell whether something does that is hidden.
  if (!hidden->empty() || (narrowed_ && contents.known)) partial_ = true;
  return absl::OkStatus();
}

void Pair::Recheck() { RecheckSome(kRecheckedTogether); }

void Pair::RecheckAll() {
  {
    MutexLock lock(mu_);
    recheck_all_ = Tick();
    if (rechecking_) recheck_again_ = true;
  }
  RecheckSome(std::numeric_limits<size_t>::max());
}

void Pair::RecheckSome(size_t most) {
  {
    MutexLock lock(mu_);
    if (!ended_.ok() || rechecking_ || streams_.empty()) return;
    rechecking_ = true;
    DropOldLocked();
  }
  if (target_.kind == TargetKind::kKey) return OnState({}, most);
  hub_->Read(target_, consul::CachedReadOptions(),
             [self = shared_from_this(), most](absl::StatusOr<consul::CachedState> cached) {
               self->OnState(cached.ok() ? *cached : consul::CachedState(), most);
             });
}

void Pair::OnState(const consul::CachedState& cached, size_t most) {
  std::vector<Question> questions;
  std::vector<std::string> names;
  {
    MutexLock lock(mu_);
    if (cached.state != nullptr) {
      const std::vector<Part> parts = PartsSeen(cached);
      // From where the last one ended, once around at most.
      for (size_t i = 0; i < parts.size() && names.size() < most; ++i) {
        const Part& part = parts[next_recheck_++ % parts.size()];
        if (shown_.contains(NumberOf(part.name))) names.push_back(part.name);
      }
    }
  }
  if (auto whole = WholeOf(target_, !names.empty())) questions.push_back({*std::move(whole), 0});
  for (const std::string& name : names) questions.push_back({PermissionOf(name), 0});
  auto begun = std::make_shared<std::atomic<uint64_t>>(0);
  authorizer_->Check(
      identity_, target_.datacenter, std::move(questions), Authorizer::Grace::kNone, [begun] { *begun = Tick(); },
      [self = shared_from_this(), begun, names = std::move(names)](absl::StatusOr<std::vector<bool>> allowed) {
        self->OnRechecked(*begun, names, std::move(allowed));
      });
}

void Pair::OnRechecked(uint64_t begun, const std::vector<std::string>& names,
                       absl::StatusOr<std::vector<bool>> allowed) {
  Wakes wakes;
  bool again = false;
  {
    MutexLock lock(mu_);
    rechecking_ = false;
    again = std::exchange(recheck_again_, false);
    if (!allowed.ok()) {
      if (!absl::IsUnavailable(allowed.status())) EndLocked(allowed.status(), begun, &wakes);
    } else {
      auto answer = allowed->begin();
      bool whole = true;
      if (WholeOf(target_, !names.empty()).has_value()) whole = *answer++;
      if (!whole && WholeCountsLocked()) EndLocked(DeniedOf(target_.kind, *identity_), begun, &wakes);
      for (const std::string& name : names) {
        // It may have been deleted meanwhile, in a message that was allowed.
        if (!*answer++ && shown_.contains(NumberOf(name))) EndLocked(LostOf(target_.kind), begun, &wakes);
      }
    }
  }
  WakeAll(wakes);
  if (again) RecheckAll();
}

void Pair::EndLocked(absl::Status status, uint64_t begun, Wakes* wakes) {
  if (!ended_.ok()) return;
  ended_ = std::move(status);
  ended_by_ = begun;
  has_ended_ = true;
  for (const Stream* stream : streams_) wakes->insert(stream->wakeup);
  retry_.clear();
}

void Pair::RetryLaterLocked(const Stream& stream) {
  retry_.insert(stream.wakeup);
  if (std::exchange(retry_armed_, true)) return;
  authorizer_->scheduler()->After(kRetryAfter, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnRetry();
  });
}

void Pair::OnRetry() {
  Wakes wakes;
  {
    MutexLock lock(mu_);
    retry_armed_ = false;
    wakes.swap(retry_);
    inquiries_.erase(
        std::remove_if(inquiries_.begin(), inquiries_.end(),
                       [](const auto& one) { return one->verdict.has_value() && !one->verdict->status.ok(); }),
        inquiries_.end());
  }
  WakeAll(wakes);
}

void Pair::DropOldLocked() {
  const absl::Time now = authorizer_->scheduler()->Now();
  inquiries_.erase(
      std::remove_if(inquiries_.begin(), inquiries_.end(),
                     [&](const auto& one) { return one->verdict.has_value() && now - one->answered > kShareFor; }),
      inquiries_.end());
}

void Pair::WakeAll(const Wakes& wakes) {
  for (const auto& wakeup : wakes) wakeup->WakeSoon();
}

Permission Pair::PermissionOf(const std::string& part) const { return {KindOfParts(target_.kind), part}; }

std::vector<Part> Pair::PartsSeen(const consul::CachedState& cached) const {
  return PartsOf(target_.kind, *consul::Filter(target_.kind, cached.state, view_), cached.index);
}

// A prefix is not what its keys are, but where it has none nothing else tells.
bool Pair::WholeCountsLocked() const { return target_.kind != TargetKind::kPrefix || (shown_.empty() && !partial_); }

size_t Pair::NumberOf(const std::string& part) const { return absl::Hash<std::string>()(part); }

}  // namespace meshgate::server::auth
