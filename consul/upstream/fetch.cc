#include "consul/upstream/fetch.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<Fetched>)>;

// Of answers that are kept as they are, for each set of parameters and each token.
constexpr size_t kMaxQueryBytes = 16 << 20;

template <typename T>
Backend::Callback<Answer<T>> Into(T State::*member, Done done) {
  return [member, done = std::move(done)](absl::StatusOr<Answer<T>> answer) mutable {
    if (!answer.ok()) {
      done(std::move(answer).status());
      return;
    }
    auto state = std::make_shared<State>();
    (*state).*member = std::move(answer->value);
    done(Fetched{std::move(state), answer->meta});
  };
}

}  // namespace

CallHandle Fetch(Backend& backend, const Target& target, ReadOptions options, Done done) {
  options.datacenter = target.datacenter;
  switch (target.kind) {
    case TargetKind::kKey:
      return backend.ReadKey(target.name, options, Into(&State::entries, std::move(done)));
    case TargetKind::kPrefix:
      return backend.ReadPrefix(target.name, options, Into(&State::entries, std::move(done)));
    case TargetKind::kService:
      return backend.ReadService(target.name, target.filter, /*near=*/"", options,
                                 Into(&State::instances, std::move(done)));
    case TargetKind::kCatalog:
      return backend.ReadCatalog(options, Into(&State::services, std::move(done)));
    case TargetKind::kQuery:
      options.token = target.token;
      options.max_bytes = kMaxQueryBytes;
      return backend.ReadQuery(target.name, options, Into(&State::query, std::move(done)));
  }
  return nullptr;
}

Lost LostBetween(TargetKind kind, const State& before, const State& after) {
  Lost lost;
  if (kind == TargetKind::kPrefix) {
    auto now = after.entries.begin();
    for (const KvEntry& entry : before.entries) {
      while (now != after.entries.end() && now->key < entry.key) ++now;
      if (now == after.entries.end() || now->key != entry.key) lost.keys.push_back(entry.key);
    }
  } else if (kind == TargetKind::kService) {
    const auto name = [](const Instance& instance) { return std::tie(instance.node, instance.id); };
    auto now = after.instances.begin();
    for (const Instance& instance : before.instances) {
      while (now != after.instances.end() && name(*now) < name(instance)) ++now;
      if (now == after.instances.end() || name(*now) != name(instance)) {
        lost.instances.push_back({instance.node, instance.id});
      }
    }
  }
  return lost;
}

CallHandle ConfirmGone(Backend& backend, const Target& target, Lost lost,
                       absl::AnyInvocable<void(const absl::Status&)> done) {
  ReadOptions options;
  options.datacenter = target.datacenter;
  // The backend asks about so many at a time.
  options.timeout += absl::Seconds(1) * static_cast<double>((lost.keys.size() + lost.instances.size()) / 64);
  // Existing instances may have ceased to match the filter.
  const bool may_exist = !target.filter.empty();
  auto judge = [may_exist, done = std::move(done)](absl::StatusOr<std::vector<Presence>> found) mutable {
    if (!found.ok()) return done(found.status());
    const auto has = [&](Presence presence) { return std::count(found->begin(), found->end(), presence) > 0; };
    if (has(Presence::kHidden)) {
      return done(MakeError(absl::StatusCode::kPermissionDenied, reason::kHidden,
                            "Consul hides from the gateway's token what it showed before: give the token back its "
                            "permission to read"));
    }
    if (!may_exist && has(Presence::kExists)) {
      return done(MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable,
                            "Consul has shown less than there is; it is asked again"));
    }
    done(absl::OkStatus());
  };
  if (!lost.keys.empty()) return backend.ConfirmKeysGone(lost.keys, options, std::move(judge));
  return backend.ConfirmInstancesGone(target.name, lost.instances, options, std::move(judge));
}

}  // namespace meshgate::consul
