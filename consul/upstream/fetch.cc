#include "consul/upstream/fetch.h"

#include <utility>
#include <vector>

namespace meshgate::consul {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<Fetched>)>;

template <typename T>
Backend::Callback<Answer<std::vector<T>>> Into(std::vector<T> State::*member, Done done) {
  return [member, done = std::move(done)](absl::StatusOr<Answer<std::vector<T>>> answer) mutable {
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
  }
  return nullptr;
}

}  // namespace meshgate::consul
