// What ConsulBackend asks about a token's permissions.
//
// About keys by a transaction that only compares: the server that keeps them checks the permission to read each one
// first, and says which are refused. About the rest at /v1/internal/acl/authorize, where an agent that is no server
// answers from a cache that may be 30 s old: so it is asked about a key as well, whichever, because the server then
// says whether the token is there at all.
#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "consul/http/bodies.h"
#include "consul/http/consul_backend.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

// Consul's limit, of a transaction and of an authorization.
constexpr size_t kMaxQuestions = 64;

absl::Status NotAboutThese() {
  return MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                   "the answer is not one that Consul gives: it does not tell what is allowed");
}

bool IsMissing(const Response& response) {
  return response.end == Response::End::kAnswered && (response.code == 404 || response.code == 405);
}

// Asked about for the token's sake alone.
constexpr char kAnyKey[] = "meshgate";

// Asks with a plain read where there is no better way: what shows something is allowed.
std::optional<Target> ReadOf(const Permission& permission) {
  switch (permission.kind) {
    case Permission::Kind::kReadService:
      return Target("/v1/health/service/").Segment(permission.name);
    case Permission::Kind::kReadNode:
      return Target("/v1/catalog/node/").Segment(permission.name);
    case Permission::Kind::kReadKey:
    case Permission::Kind::kWriteService:
      break;
  }
  return std::nullopt;
}

bool ShowsSomething(absl::string_view body) {
  body = absl::StripAsciiWhitespace(body);
  return !body.empty() && body != "[]" && body != "null";
}

}  // namespace

// One call of Authorize(), a question at a time.
struct ConsulBackend::Authorizing {
  // Takes the next positions that can be asked about together.
  bool Next() {
    std::deque<size_t>& from = keys.empty() ? others : keys;
    with_transaction = !keys.empty();
    asked.clear();
    while (asked.size() < kMaxQuestions && !from.empty()) {
      asked.push_back(from.front());
      from.pop_front();
    }
    return !asked.empty();
  }

  ActiveCallHandle call;
  std::string datacenter;
  std::vector<Permission> permissions;
  // Of them, those that the caller asked about.
  size_t asked_for = 0;
  Callback<std::vector<bool>> done;
  std::vector<bool> allowed;
  // Positions that are open, and those of the question under way.
  std::deque<size_t> keys;
  std::deque<size_t> others;
  std::vector<size_t> asked;
  bool with_transaction = false;
};

CallHandle ConsulBackend::Authorize(const std::vector<Permission>& permissions, const ReadOptions& options,
                                    Callback<std::vector<bool>> done) {
  auto state = std::make_shared<Authorizing>();
  state->call = calls_.Begin(options.timeout, options.token);
  state->datacenter = options.datacenter;
  state->permissions = permissions;
  state->done = std::move(done);
  for (size_t i = 0; i < permissions.size(); ++i) {
    // A transaction refuses an empty key.
    const bool key = permissions[i].kind == Permission::Kind::kReadKey && !permissions[i].name.empty();
    (key ? state->keys : state->others).push_back(i);
  }
  if (state->keys.empty()) {
    state->keys.push_back(permissions.size());
    state->permissions.push_back({Permission::Kind::kReadKey, kAnyKey});
  }
  state->asked_for = permissions.size();
  state->allowed.resize(state->permissions.size(), false);
  const CallHandle call = state->call;
  if (permissions.empty()) {
    calls_.Post([state]() mutable { state->done(std::vector<bool>()); });
    return call;
  }
  AskNext(std::move(state));
  return call;
}

void ConsulBackend::AskNext(std::shared_ptr<Authorizing> state) {
  if (!state->Next()) {
    state->allowed.resize(state->asked_for);
    state->done(std::move(state->allowed));
    return;
  }
  state->with_transaction ? AskAboutKeys(std::move(state)) : AskAboutOthers(std::move(state));
}

void ConsulBackend::AskAboutKeys(std::shared_ptr<Authorizing> state) {
  std::vector<std::string> keys;
  for (const size_t position : state->asked) keys.push_back(state->permissions[position].name);
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/txn").QueryUnlessEmpty("dc", state->datacenter).str();
  request.body = TxnFindKeysBody(keys);
  calls_.Send(state->call, Endpoint::kTxn, std::move(request), [this, state](Response response, absl::Time) mutable {
    // It always fails: for a permission, or because no key has the index that it is compared with.
    if (response.end != Response::End::kAnswered || response.code != 409) {
      absl::Status status = StatusOf({Endpoint::kTxn}, response);
      return state->done(status.ok() ? NotAboutThese() : std::move(status));
    }
    const std::vector<TxnError> errors = ParseTxnErrors(std::move(response.body));
    if (errors.empty()) return state->done(NotAboutThese());
    for (const size_t position : state->asked) state->allowed[position] = true;
    for (const auto& [operation, what] : errors) {
      if (operation >= state->asked.size()) return state->done(NotAboutThese());
      const bool refused = absl::StartsWith(what, "Permission denied");
      // They quote keys, which callers choose: only how they begin is Consul's.
      if (!refused && !absl::StartsWith(what, "failed index check for key ") &&
          !absl::StartsWith(what, "failed to check index, key ")) {
        return state->done(NotAboutThese());
      }
      if (refused) state->allowed[state->asked[operation]] = false;
    }
    AskNext(std::move(state));
  });
}

void ConsulBackend::AskAboutOthers(std::shared_ptr<Authorizing> state) {
  std::vector<Permission> permissions;
  for (const size_t position : state->asked) permissions.push_back(state->permissions[position]);
  Request request;
  request.method = Method::kPost;
  request.target = Target("/v1/internal/acl/authorize").QueryUnlessEmpty("dc", state->datacenter).str();
  request.body = AuthorizeBody(permissions);
  calls_.Send(state->call, Endpoint::kAuthorize, std::move(request),
              [this, state](Response response, absl::Time) mutable {
                if (IsMissing(response)) return ReadInstead(std::move(state));
                if (response.end == Response::End::kAnswered && response.code == 401) {
                  return state->done(MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable,
                                               "the agent has no access control of its own: set acl.enabled in its "
                                               "configuration"));
                }
                if (absl::Status s = StatusOf({Endpoint::kAuthorize}, response); !s.ok()) return state->done(s);
                const absl::StatusOr<std::vector<bool>> allowed = ParseAuthorized(std::move(response.body));
                if (!allowed.ok()) return state->done(allowed.status());
                if (allowed->size() != state->asked.size()) return state->done(NotAboutThese());
                for (size_t i = 0; i < allowed->size(); ++i) state->allowed[state->asked[i]] = (*allowed)[i];
                AskNext(std::move(state));
              });
}

void ConsulBackend::ReadInstead(std::shared_ptr<Authorizing> state) {
  std::optional<Target> target;
  while (!target.has_value() && !state->asked.empty()) {
    target = ReadOf(state->permissions[state->asked.back()]);
    if (!target.has_value()) state->asked.pop_back();
  }
  if (!target.has_value()) return AskNext(std::move(state));
  const bool service = state->permissions[state->asked.back()].kind == Permission::Kind::kReadService;
  const Endpoint endpoint = service ? Endpoint::kHealthService : Endpoint::kCatalog;
  Request request;
  request.target = target->QueryUnlessEmpty("dc", state->datacenter).str();
  calls_.Send(state->call, endpoint, std::move(request),
              [this, endpoint, state](Response response, absl::Time) mutable {
                absl::Status status = StatusOf({endpoint}, response);
                if (!status.ok() && status.code() != absl::StatusCode::kPermissionDenied)
                  return state->done(std::move(status));
                state->allowed[state->asked.back()] = status.ok() && ShowsSomething(response.body);
                state->asked.pop_back();
                ReadInstead(std::move(state));
              });
}

}  // namespace meshgate::consul::http
