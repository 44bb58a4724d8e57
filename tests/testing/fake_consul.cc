#include "tests/testing/fake_consul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "consul/base/errors.h"

namespace meshgate::testing {

using consul::Answer;
using consul::AnswerMeta;
using consul::CallHandle;
using consul::KvEntry;

// Without a message: a status that threads share looks like a race where Abseil is not instrumented.
struct FakeConsul::Shared : std::enable_shared_from_this<Shared> {
  explicit Shared(Scheduler* s) : scheduler(s) {}

  // Answers with what is true now, after a while.
  void AnswerLocked(Query query) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (query.timer != 0) scheduler->Cancel(query.timer);
    if (away) return FailLocked(std::move(query), absl::Status(absl::StatusCode::kUnavailable, ""));
    AnswerMeta meta;
    if (query.other_done) {
      meta.index = 1;
      Later([done = std::move(query.other_done), meta, s = scheduler]() mutable {
        meta.received = s->Now();
        done(meta);
      });
      return;
    }
    if (!query.recursive && forbidden.count(query.name) > 0) {
      return FailLocked(std::move(query), absl::Status(absl::StatusCode::kPermissionDenied, ""));
    }
    Answer<Entries> answer;
    uint64_t found = 0;
    size_t bytes = 0;
    for (auto it = entries.lower_bound(query.name); it != entries.end(); ++it) {
      if (query.recursive ? !absl::StartsWith(it->first, query.name) : it->first != query.name) break;
      if (forbidden.count(it->first) > 0) continue;
      answer.value.push_back(it->second);
      bytes += it->second.value.size();
      found = std::max(found, it->second.modify_index);
    }
    if (query.max_bytes != 0 && bytes > query.max_bytes) {
      return FailLocked(std::move(query),
                        MakeError(absl::StatusCode::kResourceExhausted, reason::kAnswerTooLarge, "too large"));
    }
    if (query.recursive) {
      for (const auto& [key, index] : graves) {
        if (absl::StartsWith(key, query.name)) found = std::max(found, index);
      }
    }
    // What isn't there carries the index of the whole table.
    answer.meta.index = answer.value.empty() && !(query.recursive && found > 0) ? table_index : found;
    const bool hold = query.recursive ? hold_recursive : hold_keys;
    Scheduler::Task deliver = [done = std::move(query.done), answer = std::move(answer), s = scheduler]() mutable {
      answer.meta.received = s->Now();
      done(std::move(answer));
    };
    if (hold) {
      held.push_back(std::move(deliver));
    } else {
      Later(std::move(deliver));
    }
  }

  void FailLocked(Query query, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (query.timer != 0) scheduler->Cancel(query.timer);
    Later([query = std::move(query), status = std::move(status)]() mutable {
      query.done ? query.done(std::move(status)) : query.other_done(std::move(status));
    });
  }

  void Later(Scheduler::Task task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (latency == absl::ZeroDuration()) {
      scheduler->Post(std::move(task));
    } else {
      scheduler->After(latency * (static_cast<double>(random() % 1000) / 1000), std::move(task));
    }
  }

  void ReleaseLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    for (Scheduler::Task& deliver : held) Later(std::move(deliver));
    held.clear();
  }

  uint64_t IndexLocked(const Query& query) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    uint64_t found = 0;
    bool there = false;
    for (auto it = entries.lower_bound(query.name); it != entries.end(); ++it) {
      if (query.recursive ? !absl::StartsWith(it->first, query.name) : it->first != query.name) break;
      there = true;
      found = std::max(found, it->second.modify_index);
    }
    if (query.recursive) {
      for (const auto& [key, index] : graves) {
        if (absl::StartsWith(key, query.name)) found = std::max(found, index);
      }
      there = there || found > 0;
    }
    return there ? found : table_index;
  }

  void WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (!away && (it->second.other_done || IndexLocked(it->second) <= it->second.index)) {
        ++it;
        continue;
      }
      Query query = std::move(it->second);
      it = waiting.erase(it);
      AnswerLocked(std::move(query));
    }
  }

  void End(uint64_t id, bool cancelled_by_caller) {
    MutexLock lock(mu);
    auto it = waiting.find(id);
    if (it == waiting.end()) return;
    Query query = std::move(it->second);
    waiting.erase(it);
    if (cancelled_by_caller) {
      ++cancelled;
      FailLocked(std::move(query), absl::Status(absl::StatusCode::kCancelled, ""));
    } else {
      query.timer = 0;
      AnswerLocked(std::move(query));
    }
  }

  Scheduler* const scheduler;
  mutable Mutex mu;
  std::map<std::string, KvEntry> entries ABSL_GUARDED_BY(mu);
  std::map<std::string, uint64_t> graves ABSL_GUARDED_BY(mu);
  std::set<std::string> forbidden ABSL_GUARDED_BY(mu);
  uint64_t table_index ABSL_GUARDED_BY(mu) = 1;
  uint64_t next_id ABSL_GUARDED_BY(mu) = 1;
  std::map<uint64_t, Query> waiting ABSL_GUARDED_BY(mu);
  bool away ABSL_GUARDED_BY(mu) = false;
  bool hold_recursive ABSL_GUARDED_BY(mu) = false;
  bool hold_keys ABSL_GUARDED_BY(mu) = false;
  std::vector<Scheduler::Task> held ABSL_GUARDED_BY(mu);
  bool shut_down ABSL_GUARDED_BY(mu) = false;
  absl::Duration latency ABSL_GUARDED_BY(mu);
  int limit ABSL_GUARDED_BY(mu) = 0;
  int most_blocking ABSL_GUARDED_BY(mu) = 0;
  int64_t plain_reads ABSL_GUARDED_BY(mu) = 0;
  int64_t cancelled ABSL_GUARDED_BY(mu) = 0;
  std::minstd_rand random ABSL_GUARDED_BY(mu){7};
};

class FakeConsul::Handle final : public consul::Call {
 public:
  Handle(std::weak_ptr<Shared> shared, uint64_t id) : shared_(std::move(shared)), id_(id) {}
  void Cancel() override {
    if (auto shared = shared_.lock()) shared->End(id_, /*cancelled_by_caller=*/true);
  }

 private:
  const std::weak_ptr<Shared> shared_;
  const uint64_t id_;
};

FakeConsul::FakeConsul(Scheduler* scheduler, int limit) : shared_(std::make_shared<Shared>(scheduler)) {
  SetLimit(limit);
}
FakeConsul::~FakeConsul() { Shutdown(); }

void FakeConsul::Put(const std::string& key, const std::string& value) {
  MutexLock lock(shared_->mu);
  const uint64_t index = ++shared_->table_index;
  KvEntry& entry = shared_->entries[key];
  if (entry.create_index == 0) entry.create_index = index;
  entry.key = key;
  entry.value = value;
  entry.modify_index = index;
  shared_->WakeLocked();
}

void FakeConsul::Delete(const std::string& key) {
  MutexLock lock(shared_->mu);
  if (shared_->entries.erase(key) == 0) return;
  shared_->graves[key] = ++shared_->table_index;
  shared_->WakeLocked();
}

void FakeConsul::Lose() {
  SetAway(true);
  MutexLock lock(shared_->mu);
  shared_->entries.clear();
  shared_->graves.clear();
  shared_->table_index = 1;
  shared_->away = false;
}

void FakeConsul::Forbid(const std::string& key, bool forbidden) {
  MutexLock lock(shared_->mu);
  if (forbidden) {
    shared_->forbidden.insert(key);
  } else {
    shared_->forbidden.erase(key);
  }
}

void FakeConsul::SetAway(bool away) {
  MutexLock lock(shared_->mu);
  shared_->away = away;
  shared_->WakeLocked();
}

void FakeConsul::SetLatency(absl::Duration most) {
  MutexLock lock(shared_->mu);
  shared_->latency = most;
}

void FakeConsul::SetLimit(int limit) {
  MutexLock lock(shared_->mu);
  shared_->limit = limit;
}

void FakeConsul::HoldRecursive(bool hold) {
  MutexLock lock(shared_->mu);
  shared_->hold_recursive = hold;
  shared_->ReleaseLocked();
}
void FakeConsul::HoldKeys(bool hold) {
  MutexLock lock(shared_->mu);
  shared_->hold_keys = hold;
  shared_->ReleaseLocked();
}

int FakeConsul::blocking() const {
  MutexLock lock(shared_->mu);
  return static_cast<int>(shared_->waiting.size());
}
int FakeConsul::most_blocking() const {
  MutexLock lock(shared_->mu);
  return shared_->most_blocking;
}
int64_t FakeConsul::plain_reads() const {
  MutexLock lock(shared_->mu);
  return shared_->plain_reads;
}
int64_t FakeConsul::cancelled() const {
  MutexLock lock(shared_->mu);
  return shared_->cancelled;
}

std::vector<std::string> FakeConsul::Blocked() const {
  MutexLock lock(shared_->mu);
  std::vector<std::string> names;
  for (const auto& [id, query] : shared_->waiting) names.push_back(query.name + (query.recursive ? "*" : ""));
  std::sort(names.begin(), names.end());
  return names;
}

int FakeConsul::MaxBlockingQueries() const {
  MutexLock lock(shared_->mu);
  return shared_->limit;
}

void FakeConsul::Shutdown() {
  MutexLock lock(shared_->mu);
  shared_->shut_down = true;
  shared_->away = true;
  shared_->WakeLocked();
}

CallHandle FakeConsul::Ask(Query query, const consul::ReadOptions& options) {
  query.index = options.index;
  query.max_bytes = options.max_bytes;
  MutexLock lock(shared_->mu);
  const uint64_t id = shared_->next_id++;
  if (options.index == 0) ++shared_->plain_reads;
  const bool blocks =
      options.index != 0 && !shared_->away && (query.other_done || shared_->IndexLocked(query) <= options.index);
  if (!blocks) {
    shared_->AnswerLocked(std::move(query));
    return std::make_shared<Handle>(shared_, id);
  }
  query.timer = shared_->scheduler->After(options.wait, [weak = std::weak_ptr<Shared>(shared_), id] {
    if (auto shared = weak.lock()) shared->End(id, /*cancelled_by_caller=*/false);
  });
  shared_->waiting.emplace(id, std::move(query));
  shared_->most_blocking = std::max(shared_->most_blocking, static_cast<int>(shared_->waiting.size()));
  EXPECT_LE(static_cast<int>(shared_->waiting.size()), shared_->limit) << "more blocking queries than there may be";
  return std::make_shared<Handle>(shared_, id);
}

CallHandle FakeConsul::ReadKey(const std::string& key, const consul::ReadOptions& options, EntriesDone done) {
  Query query;
  query.name = key;
  query.done = std::move(done);
  return Ask(std::move(query), options);
}

CallHandle FakeConsul::ReadPrefix(const std::string& prefix, const consul::ReadOptions& options, EntriesDone done) {
  Query query;
  query.name = prefix;
  query.recursive = true;
  query.done = std::move(done);
  return Ask(std::move(query), options);
}

CallHandle FakeConsul::ReadService(const std::string& service, const std::string&, const std::string&,
                                   const consul::ReadOptions& options,
                                   Callback<Answer<std::vector<consul::Instance>>> done) {
  Query query;
  query.name = service;
  query.other_done = [done = std::move(done)](absl::StatusOr<AnswerMeta> meta) mutable {
    if (!meta.ok()) return done(std::move(meta).status());
    done(Answer<std::vector<consul::Instance>>{{}, *std::move(meta)});
  };
  return Ask(std::move(query), options);
}

CallHandle FakeConsul::ReadCatalog(const consul::ReadOptions& options,
                                   Callback<Answer<std::vector<consul::ServiceSummary>>> done) {
  Query query;
  query.other_done = [done = std::move(done)](absl::StatusOr<AnswerMeta> meta) mutable {
    if (!meta.ok()) return done(std::move(meta).status());
    done(Answer<std::vector<consul::ServiceSummary>>{{}, *std::move(meta)});
  };
  return Ask(std::move(query), options);
}

CallHandle FakeConsul::ReadQuery(const std::string&, const consul::ReadOptions& options,
                                 Callback<Answer<consul::QueryAnswer>> done) {
  Query query;
  query.other_done = [done = std::move(done)](absl::StatusOr<AnswerMeta> meta) mutable {
    if (!meta.ok()) return done(std::move(meta).status());
    done(Answer<consul::QueryAnswer>{{}, *std::move(meta)});
  };
  return Ask(std::move(query), options);
}

CallHandle FakeConsul::ConfirmKeysGone(const std::vector<std::string>& keys, const consul::ReadOptions&,
                                       Callback<std::vector<consul::Presence>> done) {
  MutexLock lock(shared_->mu);
  absl::StatusOr<std::vector<consul::Presence>> found;
  if (shared_->away) {
    found = absl::Status(absl::StatusCode::kUnavailable, "");
  } else {
    found.emplace();
    for (const std::string& key : keys) {
      found->push_back(shared_->forbidden.count(key) > 0 ? consul::Presence::kHidden
                       : shared_->entries.count(key) > 0 ? consul::Presence::kExists
                                                         : consul::Presence::kGone);
    }
  }
  shared_->Later([done = std::move(done), found = std::move(found)]() mutable { done(std::move(found)); });
  return std::make_shared<Handle>(shared_, 0);
}

namespace {

absl::Status Unimplemented() { return absl::Status(absl::StatusCode::kUnimplemented, ""); }

template <typename Done>
CallHandle Refuse(Scheduler* scheduler, Done done) {
  scheduler->Post([done = std::move(done)]() mutable { done(Unimplemented()); });
  return nullptr;
}

}  // namespace

CallHandle FakeConsul::PutKey(const KvEntry&, std::optional<uint64_t>, const consul::WriteOptions&,
                              Callback<KvEntry> done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::DeleteKey(const std::string&, std::optional<uint64_t>, const consul::WriteOptions&,
                                 DoneCallback done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::DeletePrefix(const std::string&, const consul::WriteOptions&, DoneCallback done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::Commit(const std::vector<consul::KvOperation>&, const consul::WriteOptions&,
                              Callback<std::vector<KvEntry>> done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::ConfirmInstancesGone(const std::string&, const std::vector<consul::InstanceName>&,
                                            const consul::ReadOptions&, Callback<std::vector<consul::Presence>> done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::Register(const consul::Registration&, const consul::WriteOptions&, DoneCallback done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::Deregister(const std::string&, const consul::WriteOptions&, DoneCallback done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::Heartbeat(const std::string&, consul::Health, const std::string&, const consul::WriteOptions&,
                                 DoneCallback done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::Authorize(const std::vector<consul::Permission>&, const consul::ReadOptions&,
                                 Callback<std::vector<bool>> done) {
  return Refuse(shared_->scheduler, std::move(done));
}
CallHandle FakeConsul::CheckHealth(absl::Duration, Callback<consul::BackendHealth> done) {
  return Refuse(shared_->scheduler, std::move(done));
}

}  // namespace meshgate::testing
