#include "server/auth/guard.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "consul/base/errors.h"

namespace meshgate::server::auth {
namespace {

using consul::Permission;
using consul::TargetKind;

constexpr char kTokenHeader[] = "x-consul-token";
constexpr char kAuthorizationHeader[] = "authorization";
constexpr absl::string_view kBearer = "Bearer ";
// Consul's are UUIDs of 36.
constexpr size_t kMaxTokenBytes = 256;
constexpr absl::Duration kRecheckEvery = absl::Seconds(1);

absl::string_view TokenOf(const std::vector<std::pair<std::string, std::string>>& metadata) {
  absl::string_view bearer;
  for (const auto& [name, value] : metadata) {
    if (name == kTokenHeader) return absl::StripAsciiWhitespace(value);
    if (bearer.empty() && name == kAuthorizationHeader && absl::StartsWithIgnoreCase(value, kBearer)) {
      bearer = absl::StripAsciiWhitespace(absl::string_view(value).substr(kBearer.size()));
    }
  }
  return bearer;
}

bool MayBeToken(absl::string_view token) {
  return token.size() <= kMaxTokenBytes &&
         std::all_of(token.begin(), token.end(), [](char c) { return absl::ascii_isgraph(c); });
}

// What tells of a target as a whole; nothing where its parts do.
std::optional<Permission> WholeOf(const consul::Target& target, bool has_parts) {
  switch (target.kind) {
    case TargetKind::kKey:
      return Permission{Permission::Kind::kReadKey, target.name};
    case TargetKind::kService:
      return Permission{Permission::Kind::kReadService, target.name};
    case TargetKind::kPrefix:
      if (has_parts) return std::nullopt;
      return Permission{Permission::Kind::kReadKey, target.name};
    case TargetKind::kCatalog:
      if (has_parts) return std::nullopt;
      return Permission{Permission::Kind::kReadService, ""};
  }
  return std::nullopt;
}

Permission::Kind KindOfParts(TargetKind kind) {
  switch (kind) {
    case TargetKind::kService:
      return Permission::Kind::kReadNode;
    case TargetKind::kCatalog:
      return Permission::Kind::kReadService;
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      break;
  }
  return Permission::Kind::kReadKey;
}

const std::string& NameOf(const consul::KvEntry& entry) { return entry.key; }
const std::string& NameOf(const consul::Instance& instance) { return instance.node; }
const std::string& NameOf(const consul::ServiceSummary& service) { return service.name; }

// Those whose part is allowed; parts come in the list's own order.
template <typename T>
std::vector<T> Allowed(const std::vector<T>& list, const std::vector<Part>& parts,
                       std::vector<bool>::const_iterator answer) {
  std::vector<T> out;
  auto part = parts.begin();
  for (const T& one : list) {
    while (part->name != NameOf(one)) {
      ++part;
      ++answer;
    }
    if (*answer) out.push_back(one);
  }
  return out;
}

}  // namespace

// One stream's place. Holds a message while it is being asked about: until then nothing of it is the caller's.
class Guard::Guarded final : public consul::Subscription {
 public:
  Guarded(Guard* guard, PairKey key, const SharedIdentity& identity, bool resumed, consul::Subscriber* subscriber)
      : guard_(guard), key_(std::move(key)) {
    stream_.wakeup = std::make_shared<consul::Wakeup>(subscriber);
    stream_.opened = Pair::Tick();
    stream_.resumed = resumed;
    pair_ = guard_->PairOf(identity, std::get<1>(key_), std::get<2>(key_), &stream_);
  }
  ~Guarded() override {
    stream_.wakeup->Forget();
    guard_->Leave(key_, pair_, &stream_);
  }

  void Begin(std::unique_ptr<consul::Subscription> inner) { inner_ = std::move(inner); }

  absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo* memo) override {
    if (absl::Status ended = pair_->ended(); !ended.ok()) return ended;
    if (held_ == nullptr) {
      absl::StatusOr<consul::SharedMessage> next = inner_->Next(memo);
      if (!next.ok() || *next == nullptr) return next;
      held_ = *std::move(next);
    }
    return Settle();
  }

  consul::SharedMessage Progress() override {
    if (held_ != nullptr) return nullptr;
    held_ = inner_->Progress();
    if (held_ == nullptr) return nullptr;
    // An end is told by Next().
    absl::StatusOr<consul::SharedMessage> settled = Settle();
    return settled.ok() ? *std::move(settled) : nullptr;
  }

  TargetKind kind() const override { return inner_->kind(); }

 private:
  absl::StatusOr<consul::SharedMessage> Settle() {
    std::optional<Pair::Verdict> verdict = pair_->Decide(held_, stream_);
    if (!verdict.has_value()) return nullptr;
    if (!verdict->status.ok()) return verdict->status;
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
  Pair::Stream stream_;
  std::shared_ptr<Pair> pair_;
  std::unique_ptr<consul::Subscription> inner_;
  consul::SharedMessage held_;
  bool told_partial_ = false;
  bool told_stale_ = false;
};

Guard::Guard(consul::Hub* hub, consul::Backend* backend, Scheduler* scheduler, metrics::AuthReporter* reporter,
             const GuardOptions& options, uint64_t seed)
    : hub_(hub),
      scheduler_(scheduler),
      options_(options),
      authorizer_(backend, scheduler, reporter, options.authorizer),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

Guard::~Guard() {
  MutexLock lock(mu_);
  if (timer_ != 0) scheduler_->Cancel(timer_);
}

SharedIdentity Guard::Identify(const std::vector<std::pair<std::string, std::string>>& metadata) const {
  const absl::string_view token = TokenOf(metadata);
  if (!MayBeToken(token)) return nullptr;
  return authorizer_.Identify(std::string_view(token.data(), token.size()));
}

std::unique_ptr<consul::Subscription> Guard::Subscribe(const SharedIdentity& identity, const consul::Target& target,
                                                       const consul::View& view,
                                                       std::optional<consul::ResumeToken> resume,
                                                       consul::Subscriber* subscriber) {
  auto guarded =
      std::make_unique<Guarded>(this, PairKey(identity->id(), target, view), identity, resume.has_value(), subscriber);
  guarded->Begin(hub_->Subscribe(target, view, resume, subscriber));
  return guarded;
}

void Guard::Filter(const SharedIdentity& identity, const consul::Target& target, consul::SharedState state,
                   absl::AnyInvocable<void(absl::StatusOr<consul::SharedState>)> done) {
  std::vector<Part> parts = PartsOf(target.kind, *state);
  const std::optional<Permission> whole = WholeOf(target, !parts.empty());
  std::vector<Question> questions;
  if (whole.has_value()) questions.push_back({*whole, 0});
  if (target.kind == TargetKind::kKey) {
    for (const Part& part : parts) questions.front().index = part.index;
    parts.clear();
  }
  for (const Part& part : parts) questions.push_back({{KindOfParts(target.kind), part.name}, part.index});
  authorizer_.Check(
      identity, target.datacenter, std::move(questions), Authorizer::Grace::kLastKnown, nullptr,
      [kind = target.kind, asks_whole = whole.has_value(), parts = std::move(parts), state = std::move(state),
       done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
        if (!allowed.ok()) return done(allowed.status());
        auto answer = allowed->cbegin();
        if (asks_whole && !*answer++) return done(DeniedOf(kind));
        const auto count = std::count(answer, allowed->cend(), true);
        if (static_cast<size_t>(count) == parts.size()) return done(std::move(state));
        if (count == 0) return done(DeniedOf(kind));
        auto some = std::make_shared<consul::State>();
        some->entries = Allowed(state->entries, parts, answer);
        some->instances = Allowed(state->instances, parts, answer);
        some->services = Allowed(state->services, parts, answer);
        done(consul::SharedState(std::move(some)));
      });
}

void Guard::ConfirmEmpty(const SharedIdentity& identity, const consul::Target& target,
                         absl::AnyInvocable<void(absl::Status)> done) {
  // Consul is a service itself: whoever sees none may see none.
  if (target.kind == TargetKind::kCatalog) return done(DeniedOf(target.kind));
  authorizer_.Check(identity, target.datacenter, {{*WholeOf(target, false), 0}}, Authorizer::Grace::kNone, nullptr,
                    [kind = target.kind, done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
                      if (!allowed.ok()) return done(allowed.status());
                      done(allowed->front() ? absl::OkStatus() : DeniedOf(kind));
                    });
}

void Guard::MayWrite(const SharedIdentity& identity, const std::vector<std::string>& services,
                     absl::AnyInvocable<void(absl::Status)> done) {
  std::vector<Question> questions;
  for (const std::string& service : services) questions.push_back({{Permission::Kind::kWriteService, service}, 0});
  authorizer_.Check(identity, "", std::move(questions), Authorizer::Grace::kNone, nullptr,
                    [done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
                      if (!allowed.ok()) return done(allowed.status());
                      if (std::find(allowed->begin(), allowed->end(), false) == allowed->end()) {
                        return done(absl::OkStatus());
                      }
                      done(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied,
                                     "the token has no permission to write this service"));
                    });
}

std::shared_ptr<Pair> Guard::PairOf(const SharedIdentity& identity, const consul::Target& target,
                                    const consul::View& view, const Pair::Stream* stream) {
  MutexLock lock(mu_);
  std::shared_ptr<Pair>& pair = pairs_[PairKey(identity->id(), target, view)];
  if (pair == nullptr || !pair->ended().ok()) {
    pair = std::make_shared<Pair>(hub_, &authorizer_, identity, target, view);
    RecheckLaterLocked(pair);
  }
  pair->Join(stream);
  return pair;
}

void Guard::Leave(const PairKey& key, const std::shared_ptr<Pair>& pair, const Pair::Stream* stream) {
  MutexLock lock(mu_);
  if (!pair->Leave(stream)) return;
  const auto found = pairs_.find(key);
  if (found != pairs_.end() && found->second == pair) pairs_.erase(found);
}

void Guard::RecheckLaterLocked(const std::shared_ptr<Pair>& pair) {
  const double jitter = std::uniform_real_distribution<double>(0.9, 1.1)(random_);
  due_.emplace(scheduler_->Now() + jitter * options_.recheck, pair);
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
      std::shared_ptr<Pair> pair = due_.begin()->second.lock();
      due_.erase(due_.begin());
      if (pair != nullptr && pair->ended().ok()) now.push_back(std::move(pair));
    }
    for (const auto& pair : now) RecheckLaterLocked(pair);
    ArmLocked();
  }
  for (const auto& pair : now) pair->Recheck();
}

}  // namespace meshgate::server::auth
