// The budget under real threads, for ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_consul.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {
namespace {

using ::meshgate::testing::FakeConsul;
using ::meshgate::testing::SchedulerThread;

// Takes what it is woken for, checks that values only grow, and can be waited for.
class WaitingReader : public Subscriber {
 public:
  explicit WaitingReader(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
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
  void Wake() override {
    MutexLock lock(mu_);
    if (subscription_ != nullptr) TakeLocked();
  }
  void WaitFor(int value) {
    MutexLock lock(mu_);
    while (last_ < value) changed_.Wait(mu_);
  }

 private:
  void TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    while (true) {
      auto next = subscription_->Next();
      ASSERT_TRUE(next.ok());
      if (*next == nullptr) break;
      v1::WatchConfigResponse response;
      ASSERT_TRUE(response.ParseFromString((*next)->bytes));
      for (const auto& event : response.events()) {
        int value = 0;
        ASSERT_TRUE(absl::SimpleAtoi(event.entry().value(), &value));
        EXPECT_GT(value, last_) << event.entry().key() << " went back, or was told twice";
        last_ = value;
      }
    }
    changed_.NotifyAll();
  }

  ReaderThread* const thread_;
  Mutex mu_;
  CondVar changed_;
  std::unique_ptr<Subscription> subscription_ ABSL_GUARDED_BY(mu_);
  int last_ ABSL_GUARDED_BY(mu_) = 0;
};

// Keys are written while readers of all of them come, others come and go, and plans change: every reader that stays
// reaches the last value in order, with no more queries than there may be.
TEST(BudgetThreadsTest, ReadersConvergeWhilePlansChange) {
  constexpr int kLimit = 16;
  constexpr int kKeys = 120;
  constexpr int kRounds = 30;
  ThreadPoolScheduler home(1, "readers"), home1(1, "churn1"), home2(1, "churn2");
  SchedulerThread thread(&home), thread1(&home1), thread2(&home2);
  SchedulerThread* const churn_threads[] = {&thread1, &thread2};
  ThreadPoolScheduler scheduler(2, "hub");
  FakeConsul consul(&scheduler, kLimit);
  consul.SetLatency(absl::Milliseconds(5));
  WatchReporter reporter;
  HubOptions options;
  options.wait = absl::Seconds(2);
  options.linger = absl::Milliseconds(10);
  Hub hub(&consul, &scheduler, &reporter, options);
  const auto name = [](int i) { return absl::StrFormat("k/%03d", i); };
  const auto open = [&](SchedulerThread* thread, int i) {
    auto reader = std::make_unique<WaitingReader>(thread);
    thread->Do([&] {
      reader->Attach(hub.Subscribe({TargetKind::kKey, name(i), "", ""}, View{}, std::nullopt, reader.get()));
    });
    return reader;
  };
  const auto close = [](SchedulerThread* thread, const std::vector<std::unique_ptr<WaitingReader>>& readers) {
    thread->Do([&] {
      for (const auto& reader : readers) reader->Detach();
    });
  };

  std::atomic<bool> done{false};
  std::vector<std::thread> churn;
  for (int t = 0; t < 2; ++t) {
    churn.emplace_back([&, t] {
      SchedulerThread* const thread = churn_threads[t];
      for (int i = 0; !done; ++i) {
        std::vector<std::unique_ptr<WaitingReader>> some;
        for (int j = 0; j < 20; ++j) some.push_back(open(thread, kKeys + (7 * i + 11 * j + t) % 60));
        close(thread, some);
        std::this_thread::yield();
      }
    });
  }
  std::vector<std::unique_ptr<WaitingReader>> readers;
  for (int i = 0; i < kKeys; ++i) readers.push_back(open(&thread, i));
  std::thread writer([&] {
    for (int round = 1; round <= kRounds; ++round) {
      for (int i = 0; i < kKeys; ++i) consul.Put(name(i), std::to_string(round));
      // Until the last has it: rounds then go along with plans, which take their time.
      readers[round % kKeys]->WaitFor(round);
    }
  });
  writer.join();
  for (auto& reader : readers) reader->WaitFor(kRounds);
  done = true;
  for (auto& churner : churn) churner.join();
  close(&thread, readers);
  for (ThreadPoolScheduler* stopped : {&home, &home1, &home2}) stopped->Stop();
  EXPECT_LE(consul.most_blocking(), kLimit);
  hub.Shutdown();
  consul.Shutdown();
  scheduler.Stop();
}

}  // namespace
}  // namespace meshgate::consul
