#ifndef MESHGATE_TESTS_TESTING_FAKE_BACKEND_H_
#define MESHGATE_TESTS_TESTING_FAKE_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"

namespace meshgate::testing {

// A Backend that knows nothing: it records each call and answers when, and with what, the test says.
//
// Answer<Method>() and Fail() complete the oldest call of a method that is still pending, with a callback on the
// scheduler, and return whether there was one. Blocking queries wait for the test like any other call: time does not
// pass here. Cancelled calls end with CANCELLED, and Shutdown() cancels all that is pending; weaker than the contract,
// those callbacks may still come after it, when the scheduler runs. Thread-safe; with a ManualScheduler nothing runs
// before the test lets it.
class FakeBackend final : public consul::Backend {
 public:
  enum class Method {
    kReadKey,
    kReadPrefix,
    kReadService,
    kReadCatalog,
    kReadQuery,
    kPutKey,
    kDeleteKey,
    kDeletePrefix,
    kCommit,
    kConfirmKeysGone,
    kConfirmInstancesGone,
    kAuthorize,
    kRegister,
    kDeregister,
    kHeartbeat,
    kCheckHealth,
  };

  // What a call was made with; members that its method has no use for are as here.
  struct Arguments {
    Method method = Method::kCheckHealth;
    // The key, prefix, service or instance id.
    std::string name;
    std::string filter;
    std::string near;
    consul::ReadOptions read;
    consul::WriteOptions write;
    consul::KvEntry entry;
    std::optional<uint64_t> if_modify_index;
    std::vector<consul::KvOperation> operations;
    std::vector<std::string> keys;
    std::vector<consul::InstanceName> instances;
    std::vector<consul::Permission> permissions;
    consul::Registration registration;
    consul::Health health = consul::Health::kPassing;
    std::string note;
  };

  // `scheduler` outlives the backend and its handles.
  explicit FakeBackend(Scheduler* scheduler);
  ~FakeBackend() override;

  // Every call so far, in order, answered or not.
  std::vector<Arguments> calls() const;
  // Those that wait for an answer, oldest first.
  std::vector<Arguments> pending() const;
  size_t pending(Method method) const;

  // For kReadKey and kReadPrefix. Answers were received at the scheduler's now.
  bool AnswerEntries(Method method, std::vector<consul::KvEntry> entries, std::optional<uint64_t> index);
  bool AnswerService(std::vector<consul::Instance> instances, std::optional<uint64_t> index);
  bool AnswerCatalog(std::vector<consul::ServiceSummary> services, std::optional<uint64_t> index);
  bool AnswerQuery(consul::QueryAnswer answer, std::optional<uint64_t> index);
  bool AnswerPut(consul::KvEntry written);
  bool AnswerCommit(std::vector<consul::KvEntry> written);
  // What is asked about is gone: answered at once and not recorded, unless the test wants to answer itself, with
  // AnswerConfirm() for kConfirmKeysGone and kConfirmInstancesGone.
  void SetConfirmsItself(bool confirms) { confirms_itself_ = confirms; }
  bool AnswerConfirm(Method method, std::vector<consul::Presence> found);
  bool AnswerAuthorize(std::vector<bool> allowed);
  // For the methods that return a status alone: kDeleteKey, kDeletePrefix and kRegister to kHeartbeat.
  bool AnswerDone(Method method, absl::Status status = absl::OkStatus());
  bool AnswerHealth(consul::BackendHealth health);
  // For any method; `status` is not OK.
  bool Fail(Method method, absl::Status status);

  // What MaxBlockingQueries() says; at first there is no limit.
  void SetMaxBlockingQueries(int max) { max_blocking_queries_ = max; }
  int MaxBlockingQueries() const override { return max_blocking_queries_; }

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
  consul::CallHandle ReadQuery(const std::string& query, const consul::ReadOptions& options,
                               Callback<consul::Answer<consul::QueryAnswer>> done) override;
  consul::CallHandle PutKey(const consul::KvEntry& entry, std::optional<uint64_t> if_modify_index,
                            const consul::WriteOptions& options, Callback<consul::KvEntry> done) override;
  consul::CallHandle DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index,
                               const consul::WriteOptions& options, DoneCallback done) override;
  consul::CallHandle DeletePrefix(const std::string& prefix, const consul::WriteOptions& options,
                                  DoneCallback done) override;
  consul::CallHandle Commit(const std::vector<consul::KvOperation>& operations, const consul::WriteOptions& options,
                            Callback<std::vector<consul::KvEntry>> done) override;
  consul::CallHandle ConfirmKeysGone(const std::vector<std::string>& keys, const consul::ReadOptions& options,
                                     Callback<std::vector<consul::Presence>> done) override;
  consul::CallHandle ConfirmInstancesGone(const std::string& service,
                                          const std::vector<consul::InstanceName>& instances,
                                          const consul::ReadOptions& options,
                                          Callback<std::vector<consul::Presence>> done) override;
  consul::CallHandle Authorize(const std::vector<consul::Permission>& permissions, const consul::ReadOptions& options,
                               Callback<std::vector<bool>> done) override;
  consul::CallHandle Register(const consul::Registration& registration, const consul::WriteOptions& options,
                              DoneCallback done) override;
  consul::CallHandle Deregister(const std::string& id, const consul::WriteOptions& options, DoneCallback done) override;
  consul::CallHandle Heartbeat(const std::string& id, consul::Health health, const std::string& note,
                               const consul::WriteOptions& options, DoneCallback done) override;
  consul::CallHandle CheckHealth(absl::Duration timeout, Callback<consul::BackendHealth> done) override;

 private:
  using AnyCallback = std::variant<
      Callback<consul::Answer<std::vector<consul::KvEntry>>>, Callback<consul::Answer<std::vector<consul::Instance>>>,
      Callback<consul::Answer<std::vector<consul::ServiceSummary>>>, Callback<consul::Answer<consul::QueryAnswer>>,
      Callback<consul::KvEntry>, Callback<std::vector<consul::KvEntry>>, Callback<std::vector<consul::Presence>>,
      Callback<std::vector<bool>>, DoneCallback, Callback<consul::BackendHealth>>;
  struct PendingCall {
    uint64_t id;
    Arguments arguments;
    AnyCallback done;
  };
  // Shared with the handles, which may outlive the backend.
  struct Shared {
    Scheduler* scheduler;
    mutable Mutex mu;
    uint64_t next_id ABSL_GUARDED_BY(mu) = 1;
    bool shut_down ABSL_GUARDED_BY(mu) = false;
    std::vector<Arguments> calls ABSL_GUARDED_BY(mu);
    std::deque<PendingCall> pending ABSL_GUARDED_BY(mu);
  };
  class Handle;

  consul::CallHandle Record(Arguments arguments, AnyCallback done);
  consul::CallHandle Confirm(Arguments arguments, size_t count, Callback<std::vector<consul::Presence>> done);
  // Takes the oldest pending call of a method.
  std::optional<PendingCall> Take(Method method);
  template <typename T>
  bool AnswerRead(Method method, T value, std::optional<uint64_t> index);
  // Posts `result` to the callback of its type.
  template <typename Done, typename Result>
  static void Complete(Scheduler* scheduler, PendingCall call, Result result);
  static void FailCall(Scheduler* scheduler, PendingCall call, absl::Status status);

  const std::shared_ptr<Shared> shared_;
  std::atomic<bool> confirms_itself_{true};
  std::atomic<int> max_blocking_queries_{std::numeric_limits<int>::max()};
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_FAKE_BACKEND_H_
