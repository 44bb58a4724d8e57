#include "consul/embedded/embedded_backend.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/embedded/engine.h"
#include "consul/embedded/filter.h"

namespace meshgate::consul {

using embedded::Engine;
using embedded::SharedEntry;
using embedded::SharedRecord;
using embedded::State;
using embedded::Transaction;

namespace {

// Of a string in a list or map, beside its bytes.
constexpr size_t kStringOverhead = 64;

// About what a registration takes while it waits, in bytes.
size_t SizeOf(const Registration& r) {
  size_t size = sizeof(r) + r.id.size() + r.service.size() + r.address.size();
  for (const std::string& tag : r.tags) size += kStringOverhead + tag.size();
  for (const auto& [name, value] : r.meta) size += 2 * kStringOverhead + name.size() + value.size();
  for (const CheckDefinition& check : r.checks) {
    size += sizeof(check) + check.name.size();
    if (const auto* http = std::get_if<HttpProbe>(&check.probe)) {
      size += http->url.size() + http->method.size();
      for (const auto& [name, value] : http->headers) size += 2 * kStringOverhead + name.size() + value.size();
    } else if (const auto* tcp = std::get_if<TcpProbe>(&check.probe)) {
      size += tcp->address.size();
    } else if (const auto* grpc = std::get_if<GrpcProbe>(&check.probe)) {
      size += grpc->target.size();
    }
  }
  return size;
}

size_t SizeOf(const std::vector<KvOperation>& operations) {
  struct Visitor {
    size_t operator()(const PutOperation& put) const { return put.entry.key.size() + put.entry.value.size(); }
    size_t operator()(const DeleteKeyOperation& remove) const { return remove.key.size(); }
    size_t operator()(const DeletePrefixOperation& remove) const { return remove.prefix.size(); }
  };
  size_t size = operations.size() * sizeof(KvOperation);
  for (const KvOperation& operation : operations) size += std::visit(Visitor(), operation);
  return size;
}

KvEntry WithoutValue(const KvEntry& entry) {
  KvEntry out;
  out.key = entry.key;
  out.flags = entry.flags;
  out.create_index = entry.create_index;
  out.modify_index = entry.modify_index;
  return out;
}

absl::Status CheckDatacenter(const std::string& datacenter) {
  if (datacenter.empty() || datacenter == kEmbeddedDatacenter) return absl::OkStatus();
  return MakeError(absl::StatusCode::kNotFound, reason::kDatacenterNotFound,
                   absl::StrCat("no such datacenter; there is only ", ToAbsl(kEmbeddedDatacenter)));
}

absl::Status InvalidOption(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, what);
}

CallHandle StartWrite(Engine& engine, size_t bytes, const WriteOptions& options, embedded::Write::Stage stage,
                      Backend::DoneCallback done) {
  absl::Status status = CheckDatacenter(options.datacenter);
  if (!status.ok()) return engine.Answer(std::move(status), std::move(done));
  return engine.AddWrite(bytes, options.timeout, std::move(stage), std::move(done));
}

// `collect` reads the answer's value and index from the engine.
template <typename T, typename Collect>
CallHandle StartRead(Engine& engine, TargetKind kind, const std::string& name, const ReadOptions& options,
                     Backend::Callback<Answer<T>> done, Collect collect) {
  // The engine is there as long as it ends calls.
  Engine::Finish finish = [&engine, collect = std::move(collect), done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    Answer<T> answer;
    answer.meta.index = collect(engine, answer.value);
    answer.meta.received = engine.scheduler()->Now();
    done(std::move(answer));
  };
  absl::Status status = CheckDatacenter(options.datacenter);
  if (!status.ok()) return engine.Answer(std::move(status), std::move(finish));
  return engine.Read(kind, name, options, std::move(finish));
}

// As StartRead(), for what is known at once.
template <typename Collect>
CallHandle StartConfirm(Engine& engine, const ReadOptions& options, Backend::Callback<std::vector<Presence>> done,
                        Collect collect) {
  Engine::Finish finish = [&engine, collect = std::move(collect), done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    std::vector<Presence> found;
    engine.WithState([&](const State& state) { collect(state, found); });
    done(std::move(found));
  };
  absl::Status status = CheckDatacenter(options.datacenter);
  if (!status.ok()) return engine.Answer(std::move(status), std::move(finish));
  ReadOptions at_once;
  at_once.timeout = options.timeout;
  return engine.Read(TargetKind::kCatalog, "", at_once, std::move(finish));
}

Instance ToInstance(const embedded::InstanceRecord& record, const embedded::NodeInfo& node) {
  const Registration& registration = *record.registration;
  Instance instance;
  instance.id = registration.id;
  instance.service = registration.service;
  instance.address = registration.address.empty() ? node.address : registration.address;
  instance.port = registration.port;
  instance.tags = registration.tags;
  instance.meta = registration.meta;
  instance.weight_passing = registration.weight_passing;
  instance.weight_warning = registration.weight_warning;
  instance.node = node.name;
  instance.datacenter = node.datacenter;
  instance.health = HealthOf(record);
  instance.create_index = record.create_index;
  instance.modify_index = record.modify_index;
  return instance;
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && name[0] != 0 ? name : "localhost";
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedBackend>> EmbeddedBackend::Open(EmbeddedOptions options) {
  if (options.scheduler == nullptr) return InvalidOption("the embedded store needs a scheduler");
  if (options.prober == nullptr) return InvalidOption("the embedded store needs a prober");
  auto store = embedded::Store::Open(options.data_dir, options.max_bytes);
  if (!store.ok()) return store.status();
  auto state = (*store)->Load();
  if (!state.ok()) return state.status();
  auto engine = std::make_shared<Engine>(options.scheduler, std::move(options.prober), *std::move(store),
                                         *std::move(state), options.max_queued_bytes, std::move(options.check_allow),
                                         std::move(options.on_refused_check));
  engine->Start();
  auto node = std::make_shared<const embedded::NodeInfo>(
      embedded::NodeInfo{options.node_name.empty() ? HostName() : options.node_name, options.node_address,
                         std::string(kEmbeddedDatacenter)});
  return std::unique_ptr<EmbeddedBackend>(new EmbeddedBackend(std::move(engine), std::move(node)));
}

EmbeddedBackend::EmbeddedBackend(std::shared_ptr<Engine> engine, std::shared_ptr<const embedded::NodeInfo> node)
    : engine_(std::move(engine)), node_(std::move(node)) {}

EmbeddedBackend::~EmbeddedBackend() { Shutdown(); }

void EmbeddedBackend::Shutdown() { engine_->Shutdown(); }

CallHandle EmbeddedBackend::ReadKey(const std::string& key, const ReadOptions& options,
                                    Callback<Answer<std::vector<KvEntry>>> done) {
  return StartRead(
      *engine_, TargetKind::kKey, key, options, std::move(done), [key](Engine& engine, std::vector<KvEntry>& entries) {
        const auto [entry, index] = engine.WithState(
            [&](const State& state) { return std::make_pair(state.kv.Find(key), state.kv.KeyIndex(key)); });
        if (entry) entries.push_back(*entry);
        return index;
      });
}

CallHandle EmbeddedBackend::ReadPrefix(const std::string& prefix, const ReadOptions& options,
                                       Callback<Answer<std::vector<KvEntry>>> done) {
  return StartRead(*engine_, TargetKind::kPrefix, prefix, options, std::move(done),
                   [prefix](Engine& engine, std::vector<KvEntry>& entries) {
                     const auto [found, index] = engine.WithState([&](const State& state) {
                       return std::make_pair(state.kv.FindBelow(prefix), state.kv.PrefixIndex(prefix));
                     });
                     entries.reserve(found.size());
                     for (const SharedEntry& entry : found) entries.push_back(*entry);
                     return index;
                   });
}

CallHandle EmbeddedBackend::ReadService(const std::string& service, const std::string& filter,
                                        const std::string& /*near*/, const ReadOptions& options,
                                        Callback<Answer<std::vector<Instance>>> done) {
  std::optional<embedded::Filter> parsed;
  if (!filter.empty()) {
    auto result = embedded::Filter::Parse(filter);
    if (!result.ok()) {
      return engine_->Answer(std::move(result).status(),
                             [done = std::move(done)](absl::Status s) mutable { done(std::move(s)); });
    }
    parsed = *std::move(result);
  }
  return StartRead(*engine_, TargetKind::kService, service, options, std::move(done),
                   [service, parsed, node = node_](Engine& engine, std::vector<Instance>& instances) {
                     const auto [records, index] = engine.WithState([&](const State& state) {
                       return std::make_pair(state.catalog.FindService(service), state.catalog.ServiceIndex(service));
                     });
                     for (const SharedRecord& record : records) {
                       if (!parsed || parsed->Matches({*record, *node})) {
                         instances.push_back(ToInstance(*record, *node));
                       }
                     }
                     return index;
                   });
}

CallHandle EmbeddedBackend::ReadCatalog(const ReadOptions& options,
                                        Callback<Answer<std::vector<ServiceSummary>>> done) {
  return StartRead(*engine_, TargetKind::kCatalog, "", options, std::move(done),
                   [](Engine& engine, std::vector<ServiceSummary>& services) {
                     return engine.WithState([&](const State& state) {
                       services = state.catalog.Summaries();
                       return state.catalog.summaries_index();
                     });
                   });
}

CallHandle EmbeddedBackend::ReadQuery(const std::string&, const ReadOptions&, Callback<Answer<QueryAnswer>> done) {
  return engine_->Answer(absl::UnimplementedError("the embedded store does not speak Consul's HTTP API"),
                         [done = std::move(done)](absl::Status status) mutable { done(std::move(status)); });
}

CallHandle EmbeddedBackend::ConfirmKeysGone(const std::vector<std::string>& keys, const ReadOptions& options,
                                            Callback<std::vector<Presence>> done) {
  return StartConfirm(*engine_, options, std::move(done), [keys](const State& state, std::vector<Presence>& found) {
    for (const std::string& key : keys) found.push_back(state.kv.Find(key) ? Presence::kExists : Presence::kGone);
  });
}

CallHandle EmbeddedBackend::ConfirmInstancesGone(const std::string& service, const std::vector<InstanceName>& instances,
                                                 const ReadOptions& options, Callback<std::vector<Presence>> done) {
  return StartConfirm(*engine_, options, std::move(done),
                      [service, instances, node = node_](const State& state, std::vector<Presence>& found) {
                        for (const InstanceName& instance : instances) {
                          const SharedRecord record =
                              instance.node == node->name ? state.catalog.Find(instance.id) : nullptr;
                          const bool exists = record && record->registration->service == service;
                          found.push_back(exists ? Presence::kExists : Presence::kGone);
                        }
                      });
}

CallHandle EmbeddedBackend::PutKey(const KvEntry& entry, std::optional<uint64_t> if_modify_index,
                                   const WriteOptions& options, Callback<KvEntry> done) {
  // Set on the writer's thread before the write is finished with OK.
  auto written = std::make_shared<KvEntry>();
  return StartWrite(
      *engine_, entry.key.size() + entry.value.size(), options,
      [entry, if_modify_index, written](Transaction& transaction) {
        auto put = transaction.Put(entry, if_modify_index);
        if (!put.ok()) return put.status();
        *written = WithoutValue(**put);
        return absl::OkStatus();
      },
      [written, done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) return done(std::move(status));
        done(*written);
      });
}

CallHandle EmbeddedBackend::DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index,
                                      const WriteOptions& options, DoneCallback done) {
  return StartWrite(
      *engine_, key.size(), options,
      [key, if_modify_index](Transaction& transaction) { return transaction.Delete(key, if_modify_index); },
      std::move(done));
}

CallHandle EmbeddedBackend::DeletePrefix(const std::string& prefix, const WriteOptions& options, DoneCallback done) {
  return StartWrite(
      *engine_, prefix.size(), options,
      [prefix](Transaction& transaction) {
        transaction.DeletePrefix(prefix);
        return absl::OkStatus();
      },
      std::move(done));
}

CallHandle EmbeddedBackend::Commit(const std::vector<KvOperation>& operations, const WriteOptions& options,
                                   Callback<std::vector<KvEntry>> done) {
  // As in PutKey().
  auto written = std::make_shared<std::vector<KvEntry>>();
  return StartWrite(
      *engine_, SizeOf(operations), options,
      [operations, written](Transaction& transaction) {
        auto entries = transaction.Commit(operations);
        if (!entries.ok()) return std::move(entries).status();
        written->clear();
        for (const SharedEntry& entry : *entries) written->push_back(WithoutValue(*entry));
        return absl::OkStatus();
      },
      [written, done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) return done(std::move(status));
        done(std::move(*written));
      });
}

CallHandle EmbeddedBackend::Register(const Registration& registration, const WriteOptions& options, DoneCallback done) {
  auto shared = std::make_shared<const Registration>(registration);
  return StartWrite(
      *engine_, SizeOf(registration), options,
      [shared](Transaction& transaction) {
        transaction.Register(shared);
        return absl::OkStatus();
      },
      // A registration that changed nothing is a sign of life all the same.
      [engine = engine_.get(), shared, done = std::move(done)](absl::Status status) mutable {
        if (status.ok()) engine->Beat(shared->id);
        done(std::move(status));
      });
}

CallHandle EmbeddedBackend::Deregister(const std::string& id, const WriteOptions& options, DoneCallback done) {
  return StartWrite(
      *engine_, id.size(), options, [id](Transaction& transaction) { return transaction.Deregister(id); },
      std::move(done));
}

CallHandle EmbeddedBackend::Heartbeat(const std::string& id, Health health, const std::string& note,
                                      const WriteOptions& options, DoneCallback done) {
  if (health == Health::kMaintenance) {
    return engine_->Answer(InvalidField("status", "must be passing, warning or critical"), std::move(done));
  }
  if (CheckDatacenter(options.datacenter).ok() && engine_->BeatWithoutWrite(id, health)) {
    return engine_->Answer(absl::OkStatus(), std::move(done));
  }
  return StartWrite(
      *engine_, id.size() + note.size(), options,
      [id, health, note](Transaction& transaction) { return transaction.Heartbeat(id, health, note); },
      [engine = engine_.get(), id, done = std::move(done)](absl::Status status) mutable {
        if (status.ok()) engine->Beat(id);
        done(std::move(status));
      });
}

CallHandle EmbeddedBackend::FindService(const std::string& id, const ReadOptions& /*options*/,
                                        Callback<std::string> done) {
  return engine_->Check([engine = engine_.get(), id, done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    const SharedRecord record = engine->WithState([&](const State& state) { return state.catalog.Find(id); });
    if (record == nullptr) {
      return done(
          MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "no instance with this id is registered"));
    }
    done(record->registration->service);
  });
}

CallHandle EmbeddedBackend::Authorize(const std::vector<Permission>& permissions, const ReadOptions&,
                                      Callback<std::vector<bool>> done) {
  return engine_->Check([count = permissions.size(), done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    done(std::vector<bool>(count, true));
  });
}

CallHandle EmbeddedBackend::CheckHealth(absl::Duration timeout, Callback<BackendHealth> done) {
  DoneCallback finish = [done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    BackendHealth health;
    health.known_leader = true;
    done(health);
  };
  if (!engine_->storage_failed() && timeout > absl::ZeroDuration()) return engine_->Check(std::move(finish));
  return engine_->AddWrite(
      0, timeout,
      [](Transaction& transaction) {
        transaction.ForceCommit();
        return absl::OkStatus();
      },
      std::move(finish));
}

}  // namespace meshgate::consul
