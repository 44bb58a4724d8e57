// The hub under real threads, for ThreadSanitizer: readers come and go while the state changes.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/watch/hub.h"
#include "consul/watch/state_store.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {
namespace {

using ::meshgate::testing::FakeBackend;
using ::meshgate::testing::SchedulerThread;

// A reader that takes what it is woken for and checks that values only ever grow.
class GrowingReader : public Subscriber {
 public:
  explicit GrowingReader(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
  void Wake() override {
    MutexLock lock(mu_);
    if (subscription_ != nullptr) TakeLocked();
  }

  void Attach(std::unique_ptr<Subscription> subscription) {
    MutexLock lock(mu_);
    subscription_ = std::move(subscription);
    TakeLocked();
  }

  void Detach() {
    std::unique_ptr<Subscription> gone;
    MutexLock lock(mu_);
    gone = std::move(subscription_);
  }

  void WaitFor(int value) {
    MutexLock lock(mu_);
    while (last_ < value) changed_.Wait(mu_);
  }

 private:
  void TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto next = subscription_->Next();
    ASSERT_TRUE(next.ok());
    if (*next == nullptr) return;
    v1::WatchConfigResponse response;
    ASSERT_TRUE(response.ParseFromString((*next)->bytes));
    for (const auto& event : response.events()) {
      const int value = std::stoi(event.entry().value());
      EXPECT_GT(value, last_) << "out of order or twice";
      last_ = value;
    }
    changed_.NotifyAll();
  }

  ReaderThread* const thread_;
  Mutex mu_;
  CondVar changed_;
  std::unique_ptr<Subscription> subscription_ ABSL_GUARDED_BY(mu_);
  int last_ ABSL_GUARDED_BY(mu_) = -1;
};

// Every reader must reach the last value, in order and without repetition, whoever else subscribes or leaves meanwhile.
TEST(HubThreadsTest, ReadersConvergeWhileOthersComeAndGo) {
  constexpr int kChanges = 60;
  constexpr int kReaders = 50;
  ThreadPoolScheduler home(1, "readers"), home1(1, "churn1"), home2(1, "churn2");
  SchedulerThread thread(&home), thread1(&home1), thread2(&home2);
  SchedulerThread* const churn_threads[] = {&thread1, &thread2};
  ThreadPoolScheduler scheduler(2, "hub");
  FakeBackend backend(&scheduler);
  WatchReporter reporter;
  Hub hub(&backend, &scheduler, &reporter, {});
  const Target target{TargetKind::kKey, "a", "", ""};

  std::atomic<bool> done{false};
  std::thread consul([&] {
    for (int i = 0; i <= kChanges; ++i) {
      const auto index = static_cast<uint64_t>(i) + 10;
      while (!backend.AnswerEntries(FakeBackend::Method::kReadKey, {{"a", std::to_string(i), 0, 1, index}}, index)) {
        std::this_thread::yield();
      }
    }
  });
  std::vector<std::thread> churn;
  for (int t = 0; t < 2; ++t) {
    churn.emplace_back([&, t] {
      SchedulerThread& thread = *churn_threads[t];
      while (!done) {
        GrowingReader reader(&thread);
        thread.Do([&] { reader.Attach(hub.Subscribe(target, View{}, std::nullopt, &reader)); });
        hub.Read(target, {}, [](absl::StatusOr<CachedState>) {});
        thread.Do([&] { reader.Detach(); });
      }
    });
  }
  std::vector<std::unique_ptr<GrowingReader>> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<GrowingReader>(&thread));
    thread.Do([&] { readers.back()->Attach(hub.Subscribe(target, View{}, std::nullopt, readers.back().get())); });
  }
  for (auto& reader : readers) reader->WaitFor(kChanges);
  done = true;
  consul.join();
  for (auto& t : churn) t.join();
  thread.Do([&] {
    for (auto& reader : readers) reader->Detach();
  });
  for (ThreadPoolScheduler* stopped : {&home, &home1, &home2}) stopped->Stop();
  hub.Shutdown();
  backend.Shutdown();
  scheduler.Stop();
}

// A store that answers each load with the value 0, from another thread and whenever it likes.
class ZeroStore final : public StateStore {
 public:
  explicit ZeroStore(Scheduler* scheduler) : scheduler_(scheduler) {}

  void Load(const Target&, Loaded done) override {
    scheduler_->Post([this, done = std::move(done)]() mutable {
      auto state = std::make_shared<State>();
      state->entries.push_back({"a", "0", 0, 1, 2});
      done(StoredState{std::move(state), 2, scheduler_->Now()});
    });
  }
  void Save(const Target&, StoredState stored) override {
    if (stored.state->entries.at(0).value == "1") ++saved_;
  }
  bool HasStates() const override { return true; }
  void Close() override {}
  int saved() const { return saved_; }

 private:
  Scheduler* const scheduler_;
  std::atomic<int> saved_{0};
};

// The store, the end of patience, Consul's failures and its first answer come in any order: what Consul says must win,
// and what is stored never be told after it.
TEST(HubThreadsTest, WhatConsulSaysWinsOverTheStore) {
  constexpr int kTargets = 300;
  ThreadPoolScheduler home(1, "readers");
  SchedulerThread thread(&home);
  ThreadPoolScheduler scheduler(2, "hub");
  FakeBackend backend(&scheduler);
  WatchReporter reporter;
  ZeroStore store(&scheduler);
  HubOptions options;
  options.store = &store;
  options.patience = absl::Microseconds(200);
  Hub hub(&backend, &scheduler, &reporter, options);

  std::atomic<bool> done{false};
  std::thread consul([&] {
    for (int i = 0; !done; ++i) {
      const bool answered = i % 3 == 0
                                ? backend.Fail(FakeBackend::Method::kReadKey, absl::UnavailableError("away"))
                                : backend.AnswerEntries(FakeBackend::Method::kReadKey, {{"a", "1", 0, 1, 10}}, 10 + i);
      if (!answered) std::this_thread::yield();
    }
  });
  std::vector<std::unique_ptr<GrowingReader>> readers;
  for (int i = 0; i < kTargets; ++i) {
    readers.push_back(std::make_unique<GrowingReader>(&thread));
    const Target target{TargetKind::kKey, std::to_string(i), "", ""};
    thread.Do([&] { readers.back()->Attach(hub.Subscribe(target, View{}, std::nullopt, readers.back().get())); });
  }
  for (auto& reader : readers) reader->WaitFor(1);
  done = true;
  consul.join();
  thread.Do([&] {
    for (auto& reader : readers) reader->Detach();
  });
  home.Stop();
  hub.Shutdown();
  backend.Shutdown();
  scheduler.Stop();
  EXPECT_GE(store.saved(), kTargets);
}

}  // namespace
}  // namespace meshgate::consul
