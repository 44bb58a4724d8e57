#ifndef MESHGATE_TESTS_TESTING_FAKE_CONSUL_H_
#define MESHGATE_TESTS_TESTING_FAKE_CONSUL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"

namespace meshgate::testing {

// A Backend that holds keys and answers reads of them by Consul's rules: indexes, blocking, absent keys that wake for
// every write, recursive reads that leave out what is forbidden. Services and catalogs are empty and wake never.
// Nothing can be written through the interface; the test writes.
//
// Answers take a random time of up to SetLatency(), and so overtake each other. Thread-safe.
class FakeConsul final : public consul::Backend {
 public:
  // `limit` of blocking queries: one more is a failure of the test.
  FakeConsul(Scheduler* scheduler, int limit);
  ~FakeConsul() override;

  void Put(const std::string& key, const std::string& value);
  void Delete(const std::string& key);
  // All is lost, indexes too; blocking queries end with an error.
  void Lose();

  // Reads of a forbidden key fail with PERMISSION_DENIED, and recursive ones leave it out. Wakes nobody.
  void Forbid(const std::string& key, bool forbidden);
  // Every call fails from now on, those that block at once, too.
  void SetAway(bool away);
  void SetLatency(absl::Duration most);
  void SetLimit(int limit);
  // While on, answers to recursive reads, or to those of single keys, hold what is true when they are made and don't
  // arrive; turning either off releases them.
  void HoldRecursive(bool hold);
  void HoldKeys(bool hold);

  // Blocking queries now, and at most so far.
  int blocking() const;
  int most_blocking() const;
  // Names of the blocking queries under way, prefixes with a star.
  std::vector<std::string> Blocked() const;
  // Reads so far that did not block.
  int64_t plain_reads() const;
  // Blocking queries that were cancelled.
  int64_t cancelled() const;

  int MaxBlockingQueries() const override;
  void Shutdown() override;
  consul::CallHandle ReadKey(const std::string& key, const consul::ReadOptions& options,
                             Callback<consul::Answer<std::vector<consul::KvEntry>>> done) override;
  consul::CallHandle ReadPrefix(const std::string& prefix, const consul::ReadOptions& options,
                                Callback<consul::Answer<std::vector<consul::KvEntry>>> done) override;
  consul::CallHandle ReadService(const std::string& service, const std::string& filter, const std::string& near,
                                 const consul::ReadOptions& options,
                                 Callback<consul::Answer<std::vector<consul::Instance>>> done) override;
  consul::CallHandle ReadCatalog(const consul::ReadOptions& options,
                                 Callback<consul::Answer<std::vector<consul::ServiceSummary>>> done) override;
  consul::CallHandle ReadQuery(const std::string&, const consul::ReadOptions&,
                               Callback<consul::Answer<consul::QueryAnswer>> done) override;
  consul::CallHandle PutKey(const consul::KvEntry&, std::optional<uint64_t>, const consul::WriteOptions&,
                            Callback<consul::KvEntry> done) override;
  consul::CallHandle DeleteKey(const std::string&, std::optional<uint64_t>, const consul::WriteOptions&,
                               DoneCallback done) override;
  consul::CallHandle DeletePrefix(const std::string&, const consul::WriteOptions&, DoneCallback done) override;
  consul::CallHandle Commit(const std::vector<consul::KvOperation>&, const consul::WriteOptions&,
                            Callback<std::vector<consul::KvEntry>> done) override;
  consul::CallHandle ConfirmKeysGone(const std::vector<std::string>& keys, const consul::ReadOptions& options,
                                     Callback<std::vector<consul::Presence>> done) override;
  consul::CallHandle ConfirmInstancesGone(const std::string&, const std::vector<consul::InstanceName>&,
                                          const consul::ReadOptions&,
                                          Callback<std::vector<consul::Presence>> done) override;
  consul::CallHandle Register(const consul::Registration&, const consul::WriteOptions&, DoneCallback done) override;
  consul::CallHandle Deregister(const std::string&, const consul::WriteOptions&, DoneCallback done) override;
  consul::CallHandle Heartbeat(const std::string&, consul::Health, const std::string&, const consul::WriteOptions&,
                               DoneCallback done) override;
  consul::CallHandle Authorize(const std::vector<consul::Permission>&, const consul::ReadOptions&,
                               Callback<std::vector<bool>> done) override;
  consul::CallHandle CheckHealth(absl::Duration, Callback<consul::BackendHealth> done) override;

 private:
  using Entries = std::vector<consul::KvEntry>;
  using EntriesDone = Callback<consul::Answer<Entries>>;
  struct Query {
    std::string name;
    bool recursive = false;
    uint64_t index = 0;
    size_t max_bytes = 0;
    // Neither: a service or a catalog.
    EntriesDone done;
    absl::AnyInvocable<void(absl::StatusOr<consul::AnswerMeta>)> other_done;
    Scheduler::TimerId timer = 0;
  };
  struct Shared;
  class Handle;

  consul::CallHandle Ask(Query query, const consul::ReadOptions& options);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_FAKE_CONSUL_H_
