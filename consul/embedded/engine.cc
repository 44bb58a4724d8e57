#include "consul/embedded/engine.h"

#include <algorithm>
#include <random>

#include "consul/base/errors.h"
#include "consul/wait.h"

namespace meshgate::consul::embedded {
namespace {

// About 10 MB of names; halved when it is reached.
constexpr size_t kMaxTombstones = 100000;

// As Consul does, so that queries that were asked together don't end together.
absl::Duration Jittered(absl::Duration wait) {
  thread_local std::minstd_rand random(std::random_device{}());
  return wait + wait / 16 * std::uniform_real_distribution<double>(0, 1)(random);
}

absl::Status Cancelled() { return MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "cancelled"); }

}  // namespace

class Engine::ReadCall final : public Call, public Waiter, public std::enable_shared_from_this<ReadCall> {
 public:
  ReadCall(std::weak_ptr<Engine> engine, Tasks* tasks, TargetKind kind, std::string name, const ReadOptions& o,
           Finish f)
      : Waiter(kind, std::move(name)), options(o), finish(std::move(f)), alarm(tasks), engine_(std::move(engine)) {}

  void Cancel() override {
    if (auto engine = engine_.lock()) engine->End(shared_from_this(), Cancelled());
  }

  const ReadOptions options;
  // Guarded by the engine's mutex: who sets it runs `finish`.
  bool ended = false;
  Finish finish;
  Alarm alarm;

 private:
  const std::weak_ptr<Engine> engine_;
};

Engine::Engine(Scheduler* scheduler, std::unique_ptr<Prober> prober, std::unique_ptr<Store> store, State state,
               size_t max_queued_bytes, CheckAllowList check_allow, RefusedCheckCallback on_refused_check)
    : on_refused_check_(std::move(on_refused_check)),
      tasks_(scheduler),
      store_(std::move(store)),
      prober_(std::move(prober)),
      checks_(&tasks_, prober_.get(), this, std::move(check_allow)),
      writes_(std::make_shared<WriteQueue>(&tasks_, max_queued_bytes)),
      state_(std::move(state)) {}

void Engine::Start() {
  writes_->Start([this](const WriteQueue::Batch& batch) { CommitBatch(batch); });
  for (const SharedRecord& record : WithState([](const State& state) { return state.catalog.All(); })) {
    checks_.Start(record);
  }
}

void Engine::Shutdown() {
  MutexLock only(shutdown_mu_);
  std::vector<SharedWaiter> waiting;
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    waiters_.TakeAll(waiting);
  }
  for (const SharedWaiter& waiter : waiting) End(std::static_pointer_cast<ReadCall>(waiter), Cancelled());
  checks_.Shutdown();
  prober_->Shutdown();
  writes_->Shutdown();
  tasks_.WaitIdle();
}

CallHandle Engine::Read(TargetKind kind, std::string name, const ReadOptions& options, Finish finish) {
  auto call = std::make_shared<ReadCall>(weak_from_this(), &tasks_, kind, std::move(name), options, std::move(finish));
  tasks_.Post([this, call] { Begin(call); });
  return call;
}

CallHandle Engine::Answer(absl::Status status, Finish finish) {
  auto call =
      std::make_shared<ReadCall>(weak_from_this(), &tasks_, TargetKind::kCatalog, "", ReadOptions{}, std::move(finish));
  End(call, std::move(status));
  return call;
}

bool Engine::BeatWithoutWrite(const std::string& id, Health health) {
  const SharedRecord record = WithState([&](const State& state) { return state.catalog.Find(id); });
  if (!record) return false;
  const int position = TtlPosition(*record->registration);
  return position >= 0 && record->checks[position].health == health && checks_.Beat(id);
}

void Engine::OnStatus(const CheckRef& check, Health health, std::string output, Done done) {
  const size_t bytes = output.size();
  AddWrite(
      bytes, absl::InfiniteDuration(),
      [check, health, output = std::move(output)](Transaction& transaction) {
        transaction.SetStatus(check.registration, check.position, health, output);
        return absl::OkStatus();
      },
      [done = std::move(done)](absl::Status) mutable { done(); });
}

void Engine::OnCriticalTooLong(const CheckRef& check) {
  AddWrite(
      0, absl::InfiniteDuration(),
      [check](Transaction& transaction) {
        transaction.ReapCritical(check.registration, check.position);
        return absl::OkStatus();
      },
      [](absl::Status) {});
}

void Engine::OnRefused(const CheckRef& check, const std::string& why) {
  if (on_refused_check_) on_refused_check_(check.registration->id, why);
}

void Engine::Begin(const std::shared_ptr<ReadCall>& call) {
  const ReadOptions& options = call->options;
  absl::Status status;
  bool wait = false;
  {
    MutexLock lock(mu_);
    if (call->ended) return;
    if (shut_down_) {
      status = Cancelled();
    } else if (options.timeout <= absl::ZeroDuration()) {
      status = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "no time left");
    } else if (options.index != 0 && options.index <= state_.index && !ChangedSince(*call, options.index)) {
      waiters_.Add(call);
      wait = true;
    }
    call->ended = !wait;
  }
  // This is a task already.
  if (!wait) return call->finish(std::move(status));
  call->alarm.Set(Jittered(WaitOf(options)), [this, call] { End(call, absl::OkStatus()); });
}

void Engine::End(const std::shared_ptr<ReadCall>& call, absl::Status status) {
  {
    MutexLock lock(mu_);
    if (std::exchange(call->ended, true)) return;
    waiters_.Remove(call.get());
  }
  call->alarm.Close();
  tasks_.Post([finish = std::move(call->finish), status = std::move(status)]() mutable { finish(std::move(status)); });
}

bool Engine::ChangedSince(const ReadCall& call, uint64_t index) const {
  switch (call.kind()) {
    case TargetKind::kKey:
      return state_.kv.KeyChangedSince(call.name(), index);
    case TargetKind::kPrefix:
      return state_.kv.PrefixChangedSince(call.name(), index);
    case TargetKind::kService:
      return state_.catalog.ServiceChangedSince(call.name(), index);
    case TargetKind::kCatalog:
      return state_.catalog.summaries_index() > index;
    case TargetKind::kQuery:
      break;
  }
  return true;
}

void Engine::CommitBatch(const WriteQueue::Batch& batch) {
  // Nobody else changes the state.
  const State* state = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return &state_; }();
  Transaction transaction(state);
  std::vector<absl::Status> results;
  results.reserve(batch.size());
  for (const auto& write : batch) results.push_back(write->Run(transaction));
  transaction.BoundTombstones(kMaxTombstones);
  if (transaction.must_commit()) {
    absl::Status committed = store_->Commit(transaction.mutations(), transaction.index());
    storage_failed_ = !committed.ok();
    if (!committed.ok() && batch.size() > 1 && store_->full()) return CommitOneByOne(batch);
    if (committed.ok()) {
      Publish(transaction.mutations());
    } else {
      // Handed over to the callbacks like the other results, not shared with them.
      results.assign(batch.size(), std::exchange(committed, absl::OkStatus()));
    }
  }
  for (size_t i = 0; i < batch.size(); ++i) writes_->Finish(*batch[i], std::move(results[i]));
}

// One of them may be what there is no room for, and none of them saw what the state really is.
void Engine::CommitOneByOne(const WriteQueue::Batch& batch) {
  for (const auto& write : batch) {
    if (shut_down()) {
      writes_->Finish(*write, Cancelled());
    } else {
      CommitBatch({write});
    }
  }
}

bool Engine::shut_down() {
  MutexLock lock(mu_);
  return shut_down_;
}

void Engine::Publish(const std::vector<Mutation>& mutations) {
  struct Waker {
    Waiters& waiters;
    std::vector<SharedWaiter>& woken;
    void operator()(const PutEntry& m) { waiters.TakeKey(m.entry->key, woken); }
    void operator()(const EraseEntry& m) { waiters.TakeKey(m.key, woken); }
    void operator()(const PutInstance& m) { waiters.TakeService(m.record->registration->service, woken); }
    void operator()(const EraseInstance& m) { waiters.TakeService(m.record->registration->service, woken); }
    void operator()(const ReapEntries&) {}
    void operator()(const ReapServices&) {}
  };
  // First, so that whoever sees a status can rely on the clock that it starts.
  UpdateChecks(mutations);
  std::vector<SharedWaiter> woken;
  {
    MutexLock lock(mu_);
    const uint64_t summaries = state_.catalog.summaries_index();
    for (const Mutation& mutation : mutations) {
      Apply(mutation, state_);
      std::visit(Waker{waiters_, woken}, mutation);
    }
    if (state_.catalog.summaries_index() != summaries) waiters_.TakeCatalog(woken);
  }
  for (const SharedWaiter& waiter : woken) End(std::static_pointer_cast<ReadCall>(waiter), absl::OkStatus());
}

void Engine::UpdateChecks(const std::vector<Mutation>& mutations) {
  for (const Mutation& mutation : mutations) {
    if (const auto* put = std::get_if<PutInstance>(&mutation)) {
      if (put->previous && put->previous->registration == put->record->registration) {
        checks_.Update(put->record);
      } else {
        checks_.Start(put->record);
      }
    } else if (const auto* erased = std::get_if<EraseInstance>(&mutation)) {
      checks_.Stop(erased->record->registration->id);
    }
  }
}

}  // namespace meshgate::consul::embedded
