// Holds under many threads, for ThreadSanitizer and for what only shows then.
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/thread_pool_scheduler.h"
#include "gtest/gtest.h"
#include "server/hold/hold_keeper.h"
#include "tests/server/hold/hold_harness.h"
#include "tests/testing/fake_backend.h"

namespace meshgate::server {
namespace {

class EndCounter final : public HoldListener {
 public:
  void OnHoldChanged() override {}
  void OnHoldEnded(absl::Status) override { ++ends; }
  std::atomic<int> ends{0};
};

// Streams that take the same few ids from each other and let go of them in every way, while Consul answers, fails and
// forgets, and callers deregister: each stream is told its end once at most, and in the end nothing is held.
TEST(HoldThreadsTest, NothingIsHeldTwiceOrForEver) {
  using Method = testing::FakeBackend::Method;
  ThreadPoolScheduler scheduler(2, "test");
  testing::FakeBackend backend(&scheduler);
  CountingReporter reporter;
  HoldKeeper keeper(&backend, &scheduler, &reporter, 1);

  std::atomic<bool> stop{false};
  std::thread consul([&] {
    std::mt19937 random(7);
    while (!stop) {
      bool any = false;
      for (Method method : {Method::kRegister, Method::kHeartbeat, Method::kDeregister}) {
        absl::Status status;
        if (random() % 8 == 0) status = method == Method::kHeartbeat ? NoSuchInstance() : ConsulIsAway();
        any |= backend.AnswerDone(method, std::move(status));
      }
      if (!any) absl::SleepFor(absl::Microseconds(100));
    }
  });
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 300; ++i) {
        consul::Registration registration;
        registration.id = absl::StrCat("web-", random() % 4);
        registration.service = "web";
        registration.port = random() % 2;
        auto listener = std::make_shared<EndCounter>();
        auto hold =
            keeper.Take(PlanHold(registration), consul::Health::kPassing, absl::Milliseconds(random() % 3), listener);
        hold->Report(consul::Health::kWarning);
        hold->registered();
        switch (random() % 4) {
          case 0:
            hold->Release();
            break;
          case 1:
            hold->Abandon();
            break;
          case 2:
            keeper.Deregister(registration.id, consul::WriteOptions(), [](absl::Status) {});
            break;
          default:
            break;
        }
        hold->Lose();
        EXPECT_LE(listener->ends, 1);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  while (reporter.held > 0) absl::SleepFor(absl::Milliseconds(1));
  keeper.Stop();
  stop = true;
  consul.join();
  backend.Shutdown();
  scheduler.Stop();
  EXPECT_EQ(reporter.held, 0);
}

}  // namespace
}  // namespace meshgate::server
