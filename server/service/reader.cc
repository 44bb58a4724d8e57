#include "server/service/reader.h"

#include <utility>
#include <vector>

#include "server/service/convert.h"

namespace meshgate::server {
namespace {

// One read from Consul, which may take two queries.
struct DirectRead {
  ReadSources sources;
  auth::SharedIdentity identity;
  auth::Guard::Page page;
  consul::Target target;
  std::string near;
  uint64_t min_index;
  consul::ReadOptions options;
  ReadDone done;
};

void Ask(std::unique_ptr<DirectRead> read);

bool IsEmpty(const consul::State& state) {
  return state.entries.empty() && state.instances.empty() && state.services.empty();
}

// What the caller may read of an answer that Consul gave to the gateway itself.
void GiveFiltered(std::unique_ptr<DirectRead> read, ReadResult result) {
  consul::CachedState state;
  state.state = result.state;
  state.index = result.info.index();
  // The read itself may be gone before the guard returns.
  const auth::SharedIdentity identity = read->identity;
  const consul::Target target = read->target;
  const auth::Guard::Page page = read->page;
  read->sources.guard->Filter(
      identity, target, state, page,
      [read = std::move(read), result = std::move(result)](absl::StatusOr<consul::SharedState> seen) mutable {
        if (!seen.ok()) return read->done(seen.status());
        result.state = *std::move(seen);
        read->done(std::move(result));
      });
}

// A list that shows nothing may be one of which nothing may be seen. For a key Consul has said so already.
void Give(std::unique_ptr<DirectRead> read, ReadResult result) {
  auth::Guard* const guard = read->sources.guard;
  if (guard != nullptr && guard->decides()) return GiveFiltered(std::move(read), std::move(result));
  if (guard == nullptr || read->target.kind == consul::TargetKind::kKey || !IsEmpty(*result.state)) {
    read->done(std::move(result));
    return;
  }
  // The read itself may be gone before the guard returns.
  const auth::SharedIdentity identity = read->identity;
  const consul::Target target = read->target;
  guard->ConfirmEmpty(identity, target,
                      [read = std::move(read), result = std::move(result)](absl::Status confirmed) mutable {
                        if (!confirmed.ok()) return read->done(std::move(confirmed));
                        read->done(std::move(result));
                      });
}

// What happens to an answer, whichever list of the state it fills.
template <typename T>
consul::Backend::Callback<consul::Answer<std::vector<T>>> OnAnswer(std::unique_ptr<DirectRead> read,
                                                                   std::vector<T> consul::State::*list) {
  return [read = std::move(read), list](absl::StatusOr<consul::Answer<std::vector<T>>> answer) mutable {
    if (!answer.ok()) {
      read->done(auth::ForCaller(read->identity, answer.status()));
      return;
    }
    const uint64_t index = answer->meta.index.value_or(0);
    if (index < read->min_index && read->options.mode != consul::ReadMode::kConsistent) {
      read->options.mode = consul::ReadMode::kConsistent;
      Ask(std::move(read));
      return;
    }
    auto state = std::make_shared<consul::State>();
    (*state).*list = std::move(answer->value);
    ReadResult result;
    result.state = std::move(state);
    result.info.set_source(v1::ReadInfo::SOURCE_CONSUL);
    result.info.set_index(index);
    ToApi(absl::ZeroDuration(), result.info.mutable_age());
    Give(std::move(read), std::move(result));
  };
}

void Ask(std::unique_ptr<DirectRead> read) {
  // The read itself may be gone before the backend returns.
  const consul::Target target = read->target;
  const std::string near = read->near;
  const consul::ReadOptions options = read->options;
  consul::Backend* const backend = read->sources.backend;
  switch (target.kind) {
    case consul::TargetKind::kKey:
      backend->ReadKey(target.name, options, OnAnswer(std::move(read), &consul::State::entries));
      return;
    case consul::TargetKind::kPrefix:
      backend->ReadPrefix(target.name, options, OnAnswer(std::move(read), &consul::State::entries));
      return;
    case consul::TargetKind::kService:
      backend->ReadService(target.name, target.filter, near, options,
                           OnAnswer(std::move(read), &consul::State::instances));
      return;
    case consul::TargetKind::kCatalog:
      backend->ReadCatalog(options, OnAnswer(std::move(read), &consul::State::services));
      return;
    case consul::TargetKind::kQuery:
      read->done(absl::InternalError("queries are read as they are, not by what they hold"));
      return;
  }
}

void ReadDirect(const ReadSources& sources, consul::Target target, std::string near, const ReadPlan& plan,
                ReadDone done) {
  auto read = std::make_unique<DirectRead>();
  read->sources = sources;
  read->identity = plan.identity;
  if (plan.identity != nullptr) read->options.token = plan.identity->token();
  read->target = std::move(target);
  read->target.datacenter = plan.datacenter;
  read->near = std::move(near);
  read->page = plan.page;
  read->min_index = plan.min_index;
  read->options.mode = plan.mode;
  read->options.datacenter = plan.datacenter;
  read->options.timeout = plan.timeout;
  read->done = std::move(done);
  if (sources.guard == nullptr || !sources.guard->decides()) return Ask(std::move(read));
  const consul::Target asked = read->target;
  sources.guard->Admit(plan.identity, asked, [read = std::move(read)](absl::Status admitted) mutable {
    if (!admitted.ok()) return read->done(std::move(admitted));
    Ask(std::move(read));
  });
}

v1::ReadInfo::Source SourceOf(const consul::CachedState& cached) {
  if (cached.from_consul) return v1::ReadInfo::SOURCE_CONSUL;
  return cached.stale ? v1::ReadInfo::SOURCE_LAST_KNOWN_GOOD : v1::ReadInfo::SOURCE_CACHE;
}

ReadResult ResultOf(const consul::CachedState& cached) {
  ReadResult result;
  result.state = cached.state;
  result.info.set_source(SourceOf(cached));
  result.info.set_index(cached.index);
  ToApi(cached.age, result.info.mutable_age());
  return result;
}

consul::CachedReadOptions CachedOptions(const ReadPlan& plan) {
  consul::CachedReadOptions options;
  options.min_index = plan.min_index;
  options.max_age = plan.max_age;
  options.timeout = plan.timeout;
  return options;
}

void ReadAdmitted(const ReadSources& sources, const consul::Target& target, const ReadPlan& plan, ReadDone done) {
  sources.hub->Read(target, CachedOptions(plan),
                    [guard = sources.guard, target, plan,
                     done = std::move(done)](absl::StatusOr<consul::CachedState> cached) mutable {
                      if (!cached.ok()) return done(auth::ForCallers(cached.status()));
                      ReadResult result = ResultOf(*cached);
                      guard->Filter(plan.identity, target, *cached, plan.page,
                                    [result = std::move(result),
                                     done = std::move(done)](absl::StatusOr<consul::SharedState> state) mutable {
                                      if (!state.ok()) return done(state.status());
                                      result.state = *std::move(state);
                                      done(std::move(result));
                                    });
                    });
}

}  // namespace

void Read(const ReadSources& sources, consul::Target target, const ReadPlan& plan, ReadDone done) {
  if (!plan.cached) {
    ReadDirect(sources, std::move(target), "", plan, std::move(done));
    return;
  }
  target.datacenter = plan.datacenter;
  if (sources.guard == nullptr) {
    sources.hub->Read(target, CachedOptions(plan),
                      [done = std::move(done)](absl::StatusOr<consul::CachedState> cached) mutable {
                        if (!cached.ok()) return done(cached.status());
                        done(ResultOf(*cached));
                      });
    return;
  }
  sources.guard->Admit(plan.identity, target,
                       [sources, target, plan, done = std::move(done)](absl::Status admitted) mutable {
                         if (!admitted.ok()) return done(std::move(admitted));
                         ReadAdmitted(sources, target, plan, std::move(done));
                       });
}

void ReadNear(const ReadSources& sources, consul::Target service, const std::string& near, const ReadPlan& plan,
              ReadDone done) {
  ReadDirect(sources, std::move(service), near, plan, std::move(done));
}

std::unique_ptr<consul::Subscription> Subscribe(const ReadSources& sources, const auth::SharedIdentity& identity,
                                                const consul::Target& target, const consul::View& view,
                                                std::optional<consul::ResumeToken> resume,
                                                consul::Subscriber* subscriber) {
  if (sources.guard == nullptr) {
    return sources.hub->Subscribe(target, view, std::move(resume), subscriber);
  }
  return sources.guard->Subscribe(identity, target, view, std::move(resume), subscriber);
}

}  // namespace meshgate::server
