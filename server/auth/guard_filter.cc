// What a caller may read of what the hub answers once.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "server/auth/contents.h"
#include "server/auth/guard.h"

namespace meshgate::server::auth {
namespace {

using consul::TargetKind;

// Of a list that is asked about until a page is full: at first, and as it turns out to be hidden.
constexpr size_t kLeastTogether = 64;
constexpr size_t kMostTogether = 4096;
// A list that shows nothing is looked up in memory as well; it must not hold the answer up for long.
constexpr absl::Duration kConfirmWithin = absl::Seconds(2);

const std::string& NameOf(const consul::Instance& instance) { return instance.node; }
const std::string& NameOf(const consul::ServiceSummary& service) { return service.name; }

template <typename T>
std::vector<T> Allowed(const std::vector<T>& list, const absl::flat_hash_set<std::string>& names) {
  std::vector<T> out;
  std::copy_if(list.begin(), list.end(), std::back_inserter(out),
               [&](const T& one) { return names.contains(NameOf(one)); });
  return out;
}

bool IsEmpty(const consul::State& state) {
  return state.entries.empty() && state.instances.empty() && state.services.empty();
}

}  // namespace

struct Guard::Filtering {
  SharedIdentity identity;
  consul::Target target;
  consul::CachedState cached;
  Page page;
  absl::AnyInvocable<void(absl::StatusOr<consul::SharedState>)> done;

  // Entries are their own parts: of a large prefix a page must not take a look at all of them.
  size_t size() const { return target.kind == TargetKind::kPrefix ? cached.state->entries.size() : parts.size(); }
  Part At(size_t number) const {
    if (target.kind != TargetKind::kPrefix) return parts[number];
    const consul::KvEntry& entry = cached.state->entries[number];
    return {entry.key, entry.modify_index};
  }

  std::vector<Part> parts;
  // Those before have been asked about.
  size_t next = 0;
  size_t together = kLeastTogether;
  bool hidden = false;
  std::vector<consul::KvEntry> entries;
  absl::flat_hash_set<std::string> allowed;
  size_t found = 0;
};

void Guard::Admit(const SharedIdentity& identity, const consul::Target& target,
                  absl::AnyInvocable<void(absl::Status)> done) {
  if (!authorizer_->MayEverShow(*identity, target)) return done(DeniedOf(*authorizer_, target.kind, *identity));
  Question whole = *WholeOf(target, false);
  const bool decides = WholeDecides(target.kind);
  const std::optional<bool> known = authorizer_->LastKnown(identity, target.datacenter, whole);
  if (known.has_value() && (*known || !decides)) return done(absl::OkStatus());
  authorizer_->Check(identity, target.datacenter, {std::move(whole)}, Authorizer::Grace::kLastKnown, nullptr,
                     [this, decides, identity, kind = target.kind,
                      done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
                       if (!allowed.ok()) return done(allowed.status());
                       done(allowed->front() || !decides ? absl::OkStatus() : DeniedOf(*authorizer_, kind, *identity));
                     });
}

void Guard::Filter(const SharedIdentity& identity, const consul::Target& target, const consul::CachedState& cached,
                   const Page& page, absl::AnyInvocable<void(absl::StatusOr<consul::SharedState>)> done) {
  auto filtering = std::make_unique<Filtering>();
  filtering->identity = identity;
  filtering->target = target;
  filtering->cached = cached;
  filtering->page = page;
  filtering->done = std::move(done);
  // A large state takes time to look through, which the transport's thread does not have.
  scheduler_->Post([this, filtering = std::move(filtering)]() mutable { StartFiltering(std::move(filtering)); });
}

void Guard::StartFiltering(std::unique_ptr<Filtering> filtering) {
  const consul::State& state = *filtering->cached.state;
  if (filtering->target.kind == TargetKind::kPrefix) {
    const auto begin = std::upper_bound(
        state.entries.begin(), state.entries.end(), filtering->page.after,
        [](const std::string& after, const consul::KvEntry& entry) { return after.empty() || after < entry.key; });
    filtering->next = static_cast<size_t>(begin - state.entries.begin());
  } else {
    filtering->parts = PartsOf(filtering->target.kind, state, filtering->cached.index);
  }
  FilterMore(std::move(filtering));
}

void Guard::FilterMore(std::unique_ptr<Filtering> filtering) {
  Filtering& f = *filtering;
  const TargetKind kind = f.target.kind;
  const size_t first = f.next;
  size_t end = f.size();
  if (f.page.limit > 0) {
    f.together = std::max(f.together, f.page.limit + 1 - f.found);
    end = std::min(end, first + f.together);
    f.together = std::clamp(f.together * 2, kLeastTogether, std::max(kMostTogether, f.page.limit + 1));
  }
  // With nothing else to ask it tells at least that the token is there.
  const bool asks_whole = WholeDecides(kind) || first == end;
  std::vector<Question> questions;
  if (asks_whole) {
    questions.push_back(*WholeOf(f.target, false));
    if (kind == TargetKind::kService) questions.back().index = f.cached.index;
  }
  if (kind == TargetKind::kKey) {
    for (const Part& part : f.parts) questions.front().index = part.index;
  } else {
    for (size_t i = first; i < end; ++i) {
      Part part = f.At(i);
      questions.push_back({{KindOfParts(kind), std::move(part.name)}, part.index});
    }
  }
  const SharedIdentity identity = f.identity;
  const std::string datacenter = f.target.datacenter;
  authorizer_->Check(identity, datacenter, std::move(questions), Authorizer::Grace::kLastKnown, nullptr,
                     [this, asks_whole, first, end,
                      filtering = std::move(filtering)](absl::StatusOr<std::vector<bool>> allowed) mutable {
                       Filtering& f = *filtering;
                       const TargetKind kind = f.target.kind;
                       const consul::State& state = *f.cached.state;
                       if (!allowed.ok()) return f.done(allowed.status());
                       auto answer = allowed->cbegin();
                       const bool whole_counts = WholeDecides(kind) || IsEmpty(state);
                       if (asks_whole && !*answer++ && whole_counts)
                         return f.done(DeniedOf(*authorizer_, kind, *f.identity));
                       if (kind == TargetKind::kKey) return f.done(f.cached.state);
                       for (size_t i = first; i < end; ++i) {
                         if (!*answer++) {
                           f.hidden = true;
                         } else if (++f.found; kind == TargetKind::kPrefix) {
                           f.entries.push_back(state.entries[i]);
                         } else {
                           f.allowed.insert(f.parts[i].name);
                         }
                       }
                       f.next = end;
                       if (end < f.size() && f.found <= f.page.limit) return FilterMore(std::move(filtering));
                       const bool nothing = f.hidden && f.found == 0 && f.page.after.empty();
                       if (nothing && !IsNarrowed(f.target, {}))
                         return f.done(DeniedOf(*authorizer_, kind, *f.identity));
                       if (!f.hidden && f.found == f.size()) return f.done(f.cached.state);
                       auto some = std::make_shared<consul::State>();
                       some->entries = std::move(f.entries);
                       some->instances = Allowed(state.instances, f.allowed);
                       some->services = Allowed(state.services, f.allowed);
                       f.done(consul::SharedState(std::move(some)));
                     });
}

void Guard::ConfirmEmpty(const SharedIdentity& identity, const consul::Target& target,
                         absl::AnyInvocable<void(absl::Status)> done) {
  // Consul is a service itself: whoever sees none may see none.
  if (target.kind == TargetKind::kCatalog) return done(DeniedOf(*authorizer_, target.kind, *identity));
  authorizer_->Check(
      identity, target.datacenter, {*WholeOf(target, false)}, Authorizer::Grace::kNone, nullptr,
      [this, identity, target, done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable {
        if (!allowed.ok()) return done(allowed.status());
        if (!allowed->front()) return done(DeniedOf(*authorizer_, target.kind, *identity));
        if (target.kind != TargetKind::kService || IsNarrowed(target, {})) return done(absl::OkStatus());
        // Its instances may all be on nodes that are hidden, which Consul does not say.
        consul::CachedReadOptions options;
        options.timeout = kConfirmWithin;
        hub_->Read(
            target, options,
            [this, identity, target, done = std::move(done)](absl::StatusOr<consul::CachedState> cached) mutable {
              if (!cached.ok() || cached->state->instances.empty()) return done(absl::OkStatus());
              Filter(identity, target, *cached, {},
                     [done = std::move(done)](absl::StatusOr<consul::SharedState> seen) mutable {
                       done(absl::IsPermissionDenied(seen.status()) ? seen.status() : absl::OkStatus());
                     });
            });
      });
}

void Guard::ConfirmKnown(const SharedIdentity& identity, const std::string& datacenter,
                         absl::AnyInvocable<void(absl::Status)> done) {
  // Whatever it is answered, it is the token's.
  authorizer_->Check(
      identity, datacenter, {{{consul::Permission::Kind::kReadService, ""}}}, Authorizer::Grace::kLastKnown, nullptr,
      [done = std::move(done)](absl::StatusOr<std::vector<bool>> allowed) mutable { done(allowed.status()); });
}

}  // namespace meshgate::server::auth
