#include "server/auth/consul_authorizer.h"

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::server::auth {
namespace {

using metrics::AuthReporter;

// What Consul takes in one question.
constexpr size_t kMaxTogether = 64;
// Tokens that are asked about at a time: a share of the connections that don't wait.
constexpr int kAskedAtOnce = 8;
constexpr char kTokenHeader[] = "x-consul-token";
constexpr char kAuthorizationHeader[] = "authorization";
constexpr absl::string_view kBearer = "Bearer ";
// Consul's are UUIDs of 36.
constexpr size_t kMaxTokenBytes = 256;

absl::string_view TokenOf(const Authorizer::Metadata& metadata) {
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

// Longer than idle streams go without being asked about, however many there are.
constexpr absl::Duration kKnownFor = absl::Minutes(10);

}  // namespace

ConsulAuthorizer::ConsulAuthorizer(consul::Backend* backend, Scheduler* scheduler, AuthReporter* reporter,
                                   const ConsulAuthorizerOptions& options)
    : Authorizer(scheduler, reporter), backend_(backend), options_(options) {}

SharedIdentity ConsulAuthorizer::Identify(const Metadata& metadata, const std::string& /*tls_identity*/) const {
  const absl::string_view token = TokenOf(metadata);
  if (!MayBeToken(token)) return nullptr;
  return Identity::OfToken(std::string(token), hash_.Of({ToStd(token)}));
}

absl::Status ConsulAuthorizer::Unidentified() const {
  return MakeError(absl::StatusCode::kUnauthenticated, reason::kTokenUnknown,
                   "the token holds characters that no token has, or too many");
}

void ConsulAuthorizer::Check(const SharedIdentity& identity, const std::string& datacenter,
                             std::vector<Question> questions, Grace grace, absl::AnyInvocable<void()> begun,
                             Done done) {
  {
    MutexLock lock(mu_);
    QueueKey key(identity->id(), datacenter);
    Queue& queue = queues_[key];
    queue.identity = identity;
    queue.waiting.push_back({std::move(questions), grace, std::move(begun), std::move(done)});
    if (!queue.asking && queue.waiting.size() == 1) ready_.push_back(std::move(key));
  }
  Pump();
}

void ConsulAuthorizer::Pump() {
  while (true) {
    Batch batch;
    QueueKey key;
    SharedIdentity identity;
    {
      MutexLock lock(mu_);
      if (ready_.empty() || asking_ >= kAskedAtOnce) return;
      key = std::move(ready_.front());
      ready_.pop_front();
      Queue& queue = queues_[key];
      identity = queue.identity;
      size_t together = 0;
      while (!queue.waiting.empty()) {
        const size_t more = queue.waiting.front().questions.size();
        // One that is larger goes alone.
        if (!batch.empty() && together + more > kMaxTogether) break;
        together += more;
        batch.push_back(std::move(queue.waiting.front()));
        queue.waiting.pop_front();
      }
      queue.asking = true;
      ++asking_;
    }
    std::vector<consul::Permission> permissions;
    for (Asked& one : batch) {
      if (one.begun) one.begun();
      for (const Question& question : one.questions) permissions.push_back(question.permission);
    }
    consul::ReadOptions options;
    options.datacenter = key.second;
    options.timeout = options_.timeout;
    options.token = identity->token();
    const absl::Time asked = scheduler()->Now();
    backend_->Authorize(
        permissions, options,
        [this, key, identity, asked, batch = std::move(batch)](absl::StatusOr<std::vector<bool>> allowed) mutable {
          OnAnswer(key, identity, asked, std::move(batch), std::move(allowed));
        });
  }
}

void ConsulAuthorizer::OnAnswer(const QueueKey& key, const SharedIdentity& identity, absl::Time asked, Batch batch,
                                absl::StatusOr<std::vector<bool>> allowed) {
  reporter()->OnAnswered(scheduler()->Now() - asked);
  {
    MutexLock lock(mu_);
    --asking_;
    const auto queue = queues_.find(key);
    queue->second.asking = false;
    if (queue->second.waiting.empty()) {
      queues_.erase(queue);
    } else {
      ready_.push_back(key);
    }
    if (absl::IsUnauthenticated(allowed.status())) OnUnknownLocked(*identity, asked);
  }
  Pump();
  size_t from = 0;
  for (Asked& one : batch) {
    const size_t count = one.questions.size();
    if (!allowed.ok()) {
      Conclude(identity, key.second, asked, std::move(one), allowed.status());
      continue;
    }
    std::vector<bool> part(allowed->begin() + static_cast<ptrdiff_t>(from),
                           allowed->begin() + static_cast<ptrdiff_t>(from + count));
    from += count;
    Conclude(identity, key.second, asked, std::move(one), std::move(part));
  }
}

void ConsulAuthorizer::Conclude(const SharedIdentity& identity, const std::string& datacenter, absl::Time asked,
                                Asked one, absl::StatusOr<std::vector<bool>> allowed) {
  if (allowed.ok()) {
    Remember(*identity, datacenter, asked, one.questions, *allowed);
    Report(*allowed);
    one.done(std::move(allowed));
    return;
  }
  if (absl::IsUnauthenticated(allowed.status())) {
    reporter()->OnCheck(AuthReporter::Result::kUnknownToken);
    one.done(MakeError(absl::StatusCode::kUnauthenticated, reason::kTokenUnknown,
                       "Consul does not know the token: it is wrong, or was deleted"));
    return;
  }
  if (one.grace == Grace::kLastKnown) {
    if (std::optional<std::vector<bool>> known = Recall(*identity, datacenter, one.questions)) {
      reporter()->OnCheck(AuthReporter::Result::kCached);
      one.done(*std::move(known));
      return;
    }
  }
  reporter()->OnCheck(AuthReporter::Result::kUnavailable);
  one.done(PermissionUnknown(allowed.status()));
}

Hash128 ConsulAuthorizer::KeyOf(const Identity& identity, const std::string& datacenter,
                                const consul::Permission& permission) const {
  const Hash128& id = identity.id();
  const char kind = static_cast<char>(permission.kind);
  return hash_.Of({std::string_view(reinterpret_cast<const char*>(&id), sizeof id), datacenter,
                   std::string_view(&kind, 1), permission.name});
}

void ConsulAuthorizer::Remember(const Identity& identity, const std::string& datacenter, absl::Time asked,
                                const std::vector<Question>& questions, const std::vector<bool>& allowed) {
  std::vector<Hash128> keys;
  for (const Question& question : questions) keys.push_back(KeyOf(identity, datacenter, question.permission));
  MutexLock lock(mu_);
  OfToken& token = remembered_[identity.id()];
  if (asked <= token.unknown) return;
  token.known = std::max(token.known, asked);
  const size_t before = token.answers.size();
  for (size_t i = 0; i < questions.size(); ++i) {
    Remembered& known = token.answers[keys[i]];
    known.asked = asked;
    known.index = std::max(known.index, questions[i].index);
    known.allowed = allowed[i];
  }
  remembered_answers_ += token.answers.size() - before;
  if (remembered_answers_ > options_.max_remembered) ForgetSome();
}

void ConsulAuthorizer::OnUnknownLocked(const Identity& identity, absl::Time asked) {
  const auto token = remembered_.find(identity.id());
  // Nothing is void where nothing is remembered.
  if (token == remembered_.end()) return;
  token->second.unknown = std::max(token->second.unknown, asked);
  remembered_answers_ -=
      absl::erase_if(token->second.answers, [&](const auto& one) { return one.second.asked <= asked; });
}

void ConsulAuthorizer::ForgetSome() {
  const absl::Time oldest = scheduler()->Now() - options_.grace;
  const absl::Time oldest_known = scheduler()->Now() - kKnownFor;
  for (auto& [id, token] : remembered_) {
    remembered_answers_ -= absl::erase_if(token.answers, [&](const auto& one) { return one.second.asked < oldest; });
  }
  absl::erase_if(remembered_,
                 [&](const auto& one) {
                   const OfToken& token = one.second;
                   return token.answers.empty() && token.unknown < oldest && token.known < oldest_known;
                 });
  if (remembered_answers_ <= options_.max_remembered) return;
  // Nobody loses by how much others ask.
  const auto most = std::max_element(remembered_.begin(), remembered_.end(), [](const auto& a, const auto& b) {
    return a.second.answers.size() < b.second.answers.size();
  });
  size_t number = 0;
  remembered_answers_ -= absl::erase_if(most->second.answers, [&](const auto&) { return ++number % 2 == 0; });
}

bool ConsulAuthorizer::Knows(const Identity& identity) {
  if (!identity.token().has_value() || identity.token()->empty()) return false;
  MutexLock lock(mu_);
  const auto token = remembered_.find(identity.id());
  if (token == remembered_.end()) return false;
  return token->second.known > token->second.unknown && token->second.known >= scheduler()->Now() - kKnownFor;
}

std::optional<std::vector<bool>> ConsulAuthorizer::Recall(const Identity& identity, const std::string& datacenter,
                                                          const std::vector<Question>& questions) {
  std::vector<bool> allowed;
  const absl::Time oldest = scheduler()->Now() - options_.grace;
  MutexLock lock(mu_);
  const auto token = remembered_.find(identity.id());
  if (token == remembered_.end()) return std::nullopt;
  for (const Question& question : questions) {
    const auto known = token->second.answers.find(KeyOf(identity, datacenter, question.permission));
    if (known == token->second.answers.end() || known->second.asked < oldest) return std::nullopt;
    if (known->second.allowed && known->second.index < question.index) return std::nullopt;
    allowed.push_back(known->second.allowed);
  }
  return allowed;
}

std::optional<bool> ConsulAuthorizer::LastKnown(const SharedIdentity& identity, const std::string& datacenter,
                                                const Question& question) {
  const std::optional<std::vector<bool>> known = Recall(*identity, datacenter, {question});
  if (!known.has_value()) return std::nullopt;
  return known->front();
}

}  // namespace meshgate::server::auth
