#include "tests/testing/fake_backend.h"

#include <algorithm>
#include <utility>

#include "consul/base/errors.h"

namespace meshgate::testing {

using consul::Answer;
using consul::CallHandle;

class FakeBackend::Handle final : public consul::Call {
 public:
  Handle(std::shared_ptr<Shared> shared, uint64_t id) : shared_(std::move(shared)), id_(id) {}

  void Cancel() override {
    std::optional<PendingCall> call;
    {
      MutexLock lock(shared_->mu);
      auto it = std::find_if(shared_->pending.begin(), shared_->pending.end(),
                             [this](const PendingCall& pending) { return pending.id == id_; });
      if (it == shared_->pending.end()) return;
      call = std::move(*it);
      shared_->pending.erase(it);
    }
    FailCall(shared_->scheduler, *std::move(call),
             MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "cancelled"));
  }

 private:
  const std::shared_ptr<Shared> shared_;
  const uint64_t id_;
};

FakeBackend::FakeBackend(Scheduler* scheduler) : shared_(std::make_shared<Shared>()) { shared_->scheduler = scheduler; }

FakeBackend::~FakeBackend() { Shutdown(); }

std::vector<FakeBackend::Arguments> FakeBackend::calls() const {
  MutexLock lock(shared_->mu);
  return shared_->calls;
}

std::vector<FakeBackend::Arguments> FakeBackend::pending() const {
  MutexLock lock(shared_->mu);
  std::vector<Arguments> arguments;
  for (const PendingCall& call : shared_->pending) arguments.push_back(call.arguments);
  return arguments;
}

size_t FakeBackend::pending(Method method) const {
  MutexLock lock(shared_->mu);
  return std::count_if(shared_->pending.begin(), shared_->pending.end(),
                       [method](const PendingCall& call) { return call.arguments.method == method; });
}

std::optional<FakeBackend::PendingCall> FakeBackend::Take(Method method) {
  MutexLock lock(shared_->mu);
  auto it = std::find_if(shared_->pending.begin(), shared_->pending.end(),
                         [method](const PendingCall& call) { return call.arguments.method == method; });
  if (it == shared_->pending.end()) return std::nullopt;
  std::optional<PendingCall> call = std::move(*it);
  shared_->pending.erase(it);
  return call;
}

template <typename Done, typename Result>
void FakeBackend::Complete(Scheduler* scheduler, PendingCall call, Result result) {
  scheduler->Post(
      [done = std::get<Done>(std::move(call.done)), result = std::move(result)]() mutable { done(std::move(result)); });
}

void FakeBackend::FailCall(Scheduler* scheduler, PendingCall call, absl::Status status) {
  std::visit(
      [scheduler, &status](auto& done) {
        // Moved, not copied: a status that two threads hold looks like a race where Abseil is not instrumented.
        scheduler->Post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
      },
      call.done);
}

template <typename T>
bool FakeBackend::AnswerRead(Method method, T value, std::optional<uint64_t> index) {
  std::optional<PendingCall> call = Take(method);
  if (!call) return false;
  Answer<T> answer;
  answer.value = std::move(value);
  answer.meta.index = index;
  answer.meta.received = shared_->scheduler->Now();
  Complete<Callback<Answer<T>>>(shared_->scheduler, *std::move(call), std::move(answer));
  return true;
}

bool FakeBackend::AnswerEntries(Method method, std::vector<consul::KvEntry> entries, std::optional<uint64_t> index) {
  return AnswerRead(method, std::move(entries), index);
}

bool FakeBackend::AnswerService(std::vector<consul::Instance> instances, std::optional<uint64_t> index) {
  return AnswerRead(Method::kReadService, std::move(instances), index);
}

bool FakeBackend::AnswerCatalog(std::vector<consul::ServiceSummary> services, std::optional<uint64_t> index) {
  return AnswerRead(Method::kReadCatalog, std::move(services), index);
}

bool FakeBackend::AnswerQuery(consul::QueryAnswer answer, std::optional<uint64_t> index) {
  return AnswerRead(Method::kReadQuery, std::move(answer), index);
}

bool FakeBackend::AnswerPut(consul::KvEntry written) {
  std::optional<PendingCall> call = Take(Method::kPutKey);
  if (!call) return false;
  Complete<Callback<consul::KvEntry>>(shared_->scheduler, *std::move(call), std::move(written));
  return true;
}

bool FakeBackend::AnswerCommit(std::vector<consul::KvEntry> written) {
  std::optional<PendingCall> call = Take(Method::kCommit);
  if (!call) return false;
  Complete<Callback<std::vector<consul::KvEntry>>>(shared_->scheduler, *std::move(call), std::move(written));
  return true;
}

bool FakeBackend::AnswerConfirm(Method method, std::vector<consul::Presence> found) {
  std::optional<PendingCall> call = Take(method);
  if (!call) return false;
  Complete<Callback<std::vector<consul::Presence>>>(shared_->scheduler, *std::move(call), std::move(found));
  return true;
}

bool FakeBackend::AnswerAuthorize(std::vector<bool> allowed) {
  std::optional<PendingCall> call = Take(Method::kAuthorize);
  if (!call) return false;
  Complete<Callback<std::vector<bool>>>(shared_->scheduler, *std::move(call), std::move(allowed));
  return true;
}

bool FakeBackend::AnswerDone(Method method, absl::Status status) {
  std::optional<PendingCall> call = Take(method);
  if (!call) return false;
  Complete<DoneCallback>(shared_->scheduler, *std::move(call), std::move(status));
  return true;
}

bool FakeBackend::AnswerHealth(consul::BackendHealth health) {
  std::optional<PendingCall> call = Take(Method::kCheckHealth);
  if (!call) return false;
  Complete<Callback<consul::BackendHealth>>(shared_->scheduler, *std::move(call), health);
  return true;
}

bool FakeBackend::Fail(Method method, absl::Status status) {
  std::optional<PendingCall> call = Take(method);
  if (!call) return false;
  FailCall(shared_->scheduler, *std::move(call), std::move(status));
  return true;
}

CallHandle FakeBackend::Record(Arguments arguments, AnyCallback done) {
  std::optional<PendingCall> refused;
  uint64_t id;
  {
    MutexLock lock(shared_->mu);
    id = shared_->next_id++;
    shared_->calls.push_back(arguments);
    PendingCall call{id, std::move(arguments), std::move(done)};
    if (shared_->shut_down) {
      refused = std::move(call);
    } else {
      shared_->pending.push_back(std::move(call));
    }
  }
  if (refused) {
    FailCall(shared_->scheduler, *std::move(refused),
             MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "the backend is shut down"));
  }
  return std::make_shared<Handle>(shared_, id);
}

void FakeBackend::Shutdown() {
  std::deque<PendingCall> pending;
  {
    MutexLock lock(shared_->mu);
    shared_->shut_down = true;
    pending.swap(shared_->pending);
  }
  for (PendingCall& call : pending) {
    FailCall(shared_->scheduler, std::move(call),
             MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "the backend is shut down"));
  }
}

CallHandle FakeBackend::ReadKey(const std::string& key, const consul::ReadOptions& options,
                                Callback<Answer<std::vector<consul::KvEntry>>> done) {
  Arguments arguments;
  arguments.method = Method::kReadKey;
  arguments.name = key;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::ReadPrefix(const std::string& prefix, const consul::ReadOptions& options,
                                   Callback<Answer<std::vector<consul::KvEntry>>> done) {
  Arguments arguments;
  arguments.method = Method::kReadPrefix;
  arguments.name = prefix;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::ReadService(const std::string& service, const std::string& filter, const std::string& near,
                                    const consul::ReadOptions& options,
                                    Callback<Answer<std::vector<consul::Instance>>> done) {
  Arguments arguments;
  arguments.method = Method::kReadService;
  arguments.name = service;
  arguments.filter = filter;
  arguments.near = near;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::ReadCatalog(const consul::ReadOptions& options,
                                    Callback<Answer<std::vector<consul::ServiceSummary>>> done) {
  Arguments arguments;
  arguments.method = Method::kReadCatalog;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::ReadQuery(const std::string& query, const consul::ReadOptions& options,
                                  Callback<Answer<consul::QueryAnswer>> done) {
  Arguments arguments;
  arguments.method = Method::kReadQuery;
  arguments.name = query;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::PutKey(const consul::KvEntry& entry, std::optional<uint64_t> if_modify_index,
                               const consul::WriteOptions& options, Callback<consul::KvEntry> done) {
  Arguments arguments;
  arguments.method = Method::kPutKey;
  arguments.name = entry.key;
  arguments.entry = entry;
  arguments.if_modify_index = if_modify_index;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index,
                                  const consul::WriteOptions& options, DoneCallback done) {
  Arguments arguments;
  arguments.method = Method::kDeleteKey;
  arguments.name = key;
  arguments.if_modify_index = if_modify_index;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::DeletePrefix(const std::string& prefix, const consul::WriteOptions& options,
                                     DoneCallback done) {
  Arguments arguments;
  arguments.method = Method::kDeletePrefix;
  arguments.name = prefix;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::Commit(const std::vector<consul::KvOperation>& operations, const consul::WriteOptions& options,
                               Callback<std::vector<consul::KvEntry>> done) {
  Arguments arguments;
  arguments.method = Method::kCommit;
  arguments.operations = operations;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::Confirm(Arguments arguments, size_t count, Callback<std::vector<consul::Presence>> done) {
  if (!confirms_itself_) return Record(std::move(arguments), std::move(done));
  shared_->scheduler->Post([count, done = std::move(done)]() mutable {
    done(std::vector<consul::Presence>(count, consul::Presence::kGone));
  });
  return std::make_shared<Handle>(shared_, 0);
}

CallHandle FakeBackend::ConfirmKeysGone(const std::vector<std::string>& keys, const consul::ReadOptions& options,
                                        Callback<std::vector<consul::Presence>> done) {
  Arguments arguments;
  arguments.method = Method::kConfirmKeysGone;
  arguments.keys = keys;
  arguments.read = options;
  return Confirm(std::move(arguments), keys.size(), std::move(done));
}

CallHandle FakeBackend::ConfirmInstancesGone(const std::string& service,
                                             const std::vector<consul::InstanceName>& instances,
                                             const consul::ReadOptions& options,
                                             Callback<std::vector<consul::Presence>> done) {
  Arguments arguments;
  arguments.method = Method::kConfirmInstancesGone;
  arguments.name = service;
  arguments.instances = instances;
  arguments.read = options;
  return Confirm(std::move(arguments), instances.size(), std::move(done));
}

CallHandle FakeBackend::Register(const consul::Registration& registration, const consul::WriteOptions& options,
                                 DoneCallback done) {
  Arguments arguments;
  arguments.method = Method::kRegister;
  arguments.name = registration.id;
  arguments.registration = registration;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::Deregister(const std::string& id, const consul::WriteOptions& options, DoneCallback done) {
  Arguments arguments;
  arguments.method = Method::kDeregister;
  arguments.name = id;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::Heartbeat(const std::string& id, consul::Health health, const std::string& note,
                                  const consul::WriteOptions& options, DoneCallback done) {
  Arguments arguments;
  arguments.method = Method::kHeartbeat;
  arguments.name = id;
  arguments.health = health;
  arguments.note = note;
  arguments.write = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::Authorize(const std::vector<consul::Permission>& permissions,
                                  const consul::ReadOptions& options, Callback<std::vector<bool>> done) {
  Arguments arguments;
  arguments.method = Method::kAuthorize;
  arguments.permissions = permissions;
  arguments.read = options;
  return Record(std::move(arguments), std::move(done));
}

CallHandle FakeBackend::CheckHealth(absl::Duration timeout, Callback<consul::BackendHealth> done) {
  Arguments arguments;
  arguments.method = Method::kCheckHealth;
  arguments.read.timeout = timeout;
  return Record(std::move(arguments), std::move(done));
}

}  // namespace meshgate::testing
