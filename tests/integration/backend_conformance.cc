#include "tests/integration/backend_conformance.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::consul {
namespace {

template <typename T>
T GetOr(const testing::Pending<T>& pending, T fallback) {
  std::optional<T> result = pending.Get(kBound);
  EXPECT_TRUE(result.has_value()) << "the callback did not run within " << absl::FormatDuration(kBound);
  return result.has_value() ? *std::move(result) : std::move(fallback);
}

absl::Status NoAnswer() { return absl::UnknownError("no answer at all"); }

template <typename T>
class Waiting {
 public:
  Backend::Callback<T> Callback() { return pending_.Callback(); }
  absl::StatusOr<T> Get() { return GetOr<absl::StatusOr<T>>(pending_, NoAnswer()); }

 private:
  testing::Pending<absl::StatusOr<T>> pending_;
};

class WaitingDone {
 public:
  Backend::DoneCallback Callback() { return pending_.Callback(); }
  absl::Status Get() { return GetOr(pending_, NoAnswer()); }

 private:
  testing::Pending<absl::Status> pending_;
};

}  // namespace

void BackendTest::SetUp() {
  under_test_ = GetParam().make();
  ASSERT_NE(under_test_, nullptr) << "the factory made nothing";
}

void BackendTest::TearDown() {
  if (under_test_ == nullptr) return;
  backend().Shutdown();
  under_test_ = nullptr;
}

std::string BackendTest::Unique(const std::string& stem) {
  static std::atomic<int> count{0};
  return absl::StrCat(stem, "-", ++count);
}

absl::StatusOr<Answer<Entries>> BackendTest::ReadKey(const std::string& key, const ReadOptions& options) {
  Waiting<Answer<Entries>> waiting;
  backend().ReadKey(key, options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<Answer<Entries>> BackendTest::ReadPrefix(const std::string& prefix, const ReadOptions& options) {
  Waiting<Answer<Entries>> waiting;
  backend().ReadPrefix(prefix, options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<Answer<Instances>> BackendTest::ReadService(const std::string& service, const ReadOptions& options,
                                                           const std::string& filter, const std::string& near) {
  Waiting<Answer<Instances>> waiting;
  backend().ReadService(service, filter, near, options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<Answer<Services>> BackendTest::ReadCatalog(const ReadOptions& options) {
  Waiting<Answer<Services>> waiting;
  backend().ReadCatalog(options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<KvEntry> BackendTest::Put(const std::string& key, const std::string& value, uint64_t flags,
                                         std::optional<uint64_t> if_modify_index) {
  KvEntry entry;
  entry.key = key;
  entry.value = value;
  entry.flags = flags;
  Waiting<KvEntry> waiting;
  backend().PutKey(entry, if_modify_index, {}, waiting.Callback());
  return waiting.Get();
}

absl::Status BackendTest::Delete(const std::string& key, std::optional<uint64_t> if_modify_index) {
  WaitingDone waiting;
  backend().DeleteKey(key, if_modify_index, {}, waiting.Callback());
  return waiting.Get();
}

absl::Status BackendTest::DeletePrefix(const std::string& prefix) {
  WaitingDone waiting;
  backend().DeletePrefix(prefix, {}, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<Entries> BackendTest::Commit(const std::vector<KvOperation>& operations, const WriteOptions& options) {
  Waiting<Entries> waiting;
  backend().Commit(operations, options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<std::vector<Presence>> BackendTest::ConfirmKeysGone(const std::vector<std::string>& keys,
                                                                   const ReadOptions& options) {
  Waiting<std::vector<Presence>> waiting;
  backend().ConfirmKeysGone(keys, options, waiting.Callback());
  return waiting.Get();
}

absl::StatusOr<std::vector<Presence>> BackendTest::ConfirmInstancesGone(const std::string& service,
                                                                        const std::vector<InstanceName>& instances,
                                                                        const ReadOptions& options) {
  Waiting<std::vector<Presence>> waiting;
  backend().ConfirmInstancesGone(service, instances, options, waiting.Callback());
  return waiting.Get();
}

absl::Status BackendTest::Register(const Registration& registration) {
  WaitingDone waiting;
  backend().Register(registration, {}, waiting.Callback());
  return waiting.Get();
}

absl::Status BackendTest::Deregister(const std::string& id) {
  WaitingDone waiting;
  backend().Deregister(id, {}, waiting.Callback());
  return waiting.Get();
}

absl::Status BackendTest::Heartbeat(const std::string& id, Health health, const std::string& note) {
  WaitingDone waiting;
  backend().Heartbeat(id, health, note, {}, waiting.Callback());
  return waiting.Get();
}

testing::Pending<absl::StatusOr<Answer<Entries>>> BackendTest::WatchKey(const std::string& key, uint64_t index,
                                                                        absl::Duration wait) {
  testing::Pending<absl::StatusOr<Answer<Entries>>> pending;
  ReadOptions options;
  options.index = index;
  options.wait = wait;
  backend().ReadKey(key, options, pending.Callback());
  return pending;
}

testing::Pending<absl::StatusOr<Answer<Entries>>> BackendTest::WatchPrefix(const std::string& prefix, uint64_t index,
                                                                           absl::Duration wait) {
  testing::Pending<absl::StatusOr<Answer<Entries>>> pending;
  ReadOptions options;
  options.index = index;
  options.wait = wait;
  backend().ReadPrefix(prefix, options, pending.Callback());
  return pending;
}

Instances BackendTest::AwaitService(const std::string& service, const std::function<bool(const Instances&)>& holds,
                                    absl::Duration bound) {
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(bound);
  ReadOptions options;
  Instances last;
  while (true) {
    auto answer = ReadService(service, options);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return last;
    last = answer->value;
    if (holds(last)) return last;
    const absl::Duration left = absl::FromChrono(end - std::chrono::steady_clock::now());
    if (left <= absl::ZeroDuration()) {
      ADD_FAILURE() << service << " did not become what was expected within " << absl::FormatDuration(bound);
      return last;
    }
    options.index = IndexOf(answer);
    options.wait = std::min(left, absl::Seconds(10));
  }
}

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "OK";
  const std::string reason = ReasonOf(status);
  const std::string code = absl::StatusCodeToString(status.code());
  return reason.empty() ? code : absl::StrCat(code, " ", reason);
}

}  // namespace meshgate::consul
