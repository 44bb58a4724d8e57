// What the tests of the hub share: a hub between a scheduler and a backend that the test drives.
#ifndef MESHGATE_TESTS_CONSUL_WATCH_HUB_FIXTURE_H_
#define MESHGATE_TESTS_CONSUL_WATCH_HUB_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {

class CountingReporter : public WatchReporter {
 public:
  void OnStreams(TargetKind, int delta) override { streams += delta; }
  void OnUpstreamWatches(TargetKind, int delta) override { upstream += delta; }
  void OnEvents(TargetKind, EventType type, int count) override { (type == EventType::kPut ? puts : deletes) += count; }
  void OnIndexReset() override { ++resets; }
  void OnUnconfirmed(TargetKind) override { ++unconfirmed; }
  void OnSpuriousWakeup(TargetKind) override { ++spurious; }
  void OnCacheRequest(CacheResult result) override { cache.push_back(result); }

  int streams = 0, upstream = 0, puts = 0, deletes = 0, resets = 0, spurious = 0, unconfirmed = 0;
  std::vector<CacheResult> cache;
};

class CountingSubscriber : public Subscriber {
 public:
  explicit CountingSubscriber(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
  void Wake() override { ++wakes; }
  int wakes = 0;

 private:
  ReaderThread* const thread_;
};

// A stream as a test sees it.
struct Stream {
  explicit Stream(ReaderThread* thread) : subscriber(std::make_unique<CountingSubscriber>(thread)) {}

  std::unique_ptr<CountingSubscriber> subscriber;
  std::unique_ptr<Subscription> subscription;

  absl::StatusOr<SharedMessage> Next() { return subscription->Next(); }

  // "snapshot", "changes" or "nothing", then "stale", then the events. "-" where there is no message.
  std::vector<std::string> Read() {
    auto next = Next();
    if (!next.ok()) return {"error: " + std::string(next.status().message())};
    if (*next == nullptr) return {"-"};
    v1::WatchConfigResponse response;
    EXPECT_TRUE(response.ParseFromString((*next)->bytes));
    std::vector<std::string> told = {response.snapshot()         ? "snapshot"
                                     : response.events().empty() ? "nothing"
                                                                 : "changes"};
    if (response.stale()) told.emplace_back("stale");
    for (const auto& e : response.events()) {
      told.push_back(e.type() == v1::ConfigEvent::TYPE_PUT ? "+" + e.entry().key() + "=" + e.entry().value()
                                                           : "-" + e.entry().key());
    }
    return told;
  }
};

inline absl::Status Away() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "connection refused");
}

class HubTest : public ::testing::Test {
 protected:
  using Method = ::meshgate::testing::FakeBackend::Method;

  HubTest() { MakeHub({}); }

  // As a process stops: calls that wait end with the backend.
  ~HubTest() override {
    hub_->Shutdown();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  void MakeHub(HubOptions options) { hub_ = std::make_unique<Hub>(&backend_, &scheduler_, &reporter_, options); }

  static Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }

  Stream Open(const Target& target) {
    Stream stream(&thread_);
    stream.subscription = hub_->Subscribe(target, View{}, std::nullopt, stream.subscriber.get());
    return stream;
  }

  static KvEntry Entry(std::string key, std::string value, uint64_t modify) {
    return {std::move(key), std::move(value), 0, 1, modify};
  }

  void Answer(std::vector<KvEntry> entries, std::optional<uint64_t> index) {
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, std::move(entries), index));
    scheduler_.RunReady();
  }

  void Fail(absl::Status status) {
    ASSERT_TRUE(backend_.Fail(Method::kReadKey, std::move(status)));
    scheduler_.RunReady();
  }

  // The index of the one query that waits for an answer.
  uint64_t AskedIndex() {
    const auto pending = backend_.pending();
    EXPECT_EQ(pending.size(), 1u);
    return pending.empty() ? ~uint64_t{0} : pending[0].read.index;
  }

  std::optional<absl::StatusOr<CachedState>> read_;
  void Read(const Target& target, CachedReadOptions options = {}) {
    read_.reset();
    hub_->Read(target, options, [this](absl::StatusOr<CachedState> answer) { read_ = std::move(answer); });
    scheduler_.RunReady();
  }

  ::meshgate::testing::ManualScheduler scheduler_;
  ::meshgate::testing::SchedulerThread thread_{&scheduler_};
  ::meshgate::testing::FakeBackend backend_{&scheduler_};
  CountingReporter reporter_;
  std::unique_ptr<Hub> hub_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_CONSUL_WATCH_HUB_FIXTURE_H_
