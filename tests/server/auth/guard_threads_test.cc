// A guard whose streams live on several threads.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/thread_pool_scheduler.h"
#include "server/auth/consul_authorizer.h"
#include "server/auth/guard.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_executor.h"

namespace meshgate::server::auth {
namespace {

using Method = testing::FakeBackend::Method;

// Streams that come and go while changes and answers do must all be told something in the end, and nobody touch what
// another thread is at: ThreadSanitizer looks on.
TEST(GuardThreadsTest, EachStreamIsToldInTheEnd) {
  constexpr int kThreads = 3, kStreams = 200, kTokens = 4;
  // Threads of readers outlive the hub.
  testing::ManualExecutor executors[kThreads];
  ThreadPoolScheduler scheduler(2, "guard");
  testing::FakeBackend backend(&scheduler);
  consul::WatchReporter watches;
  metrics::AuthReporter reporter;
  consul::Hub hub(&backend, &scheduler, &watches, consul::HubOptions());
  GuardOptions options;
  options.recheck = absl::Milliseconds(20);
  Guard guard(&hub, &scheduler,
              std::make_unique<ConsulAuthorizer>(&backend, &scheduler, &reporter, ConsulAuthorizerOptions()), options,
              /*seed=*/1);

  std::atomic<bool> stop{false};
  std::thread consul([&] {
    uint64_t version = 1;
    while (!stop) {
      ++version;
      consul::KvEntry entry;
      entry.key = "p/k";
      entry.value = absl::StrCat(version);
      entry.create_index = 1;
      entry.modify_index = version;
      backend.AnswerEntries(Method::kReadPrefix, {entry}, version);
      for (const auto& call : backend.pending()) {
        if (call.method == Method::kAuthorize) {
          backend.AnswerAuthorize(std::vector<bool>(call.permissions.size(), true));
        }
      }
      // It takes a moment, and leaves the processor to others.
      absl::SleepFor(absl::Microseconds(200));
    }
  });

  std::vector<std::thread> loops;
  for (int thread = 0; thread < kThreads; ++thread) {
    loops.emplace_back([&, thread] {
      std::minstd_rand random(static_cast<unsigned>(thread + 1));
      testing::ManualExecutor& executor = executors[thread];
      std::vector<std::unique_ptr<testing::TakingStream>> streams;
      for (int i = 0; i < kStreams; ++i) {
        streams.push_back(std::make_unique<testing::TakingStream>(&executor, &scheduler, &watches));
        const auto& outbox = streams.back()->outbox();
        const auto identity = guard.Identify({{"x-consul-token", absl::StrCat("t", random() % kTokens)}}, "");
        outbox->Start(guard.Subscribe(identity, {consul::TargetKind::kPrefix, "p/"}, {}, std::nullopt, outbox.get()),
                      absl::ZeroDuration());
        executor.RunReady();
        if (random() % 4 == 0) {
          streams.erase(streams.begin() + static_cast<ptrdiff_t>(random() % streams.size()));
        }
      }
      const absl::Time until = absl::Now() + absl::Seconds(60);
      const auto told = [&] {
        for (const auto& stream : streams) {
          if (stream->messages().empty() && !stream->end().has_value()) return false;
        }
        return true;
      };
      while (!told() && absl::Now() < until) {
        executor.RunReady();
        std::this_thread::yield();
      }
      EXPECT_TRUE(told());
      for (const auto& stream : streams) EXPECT_FALSE(stream->end().has_value());
    });
  }
  for (std::thread& loop : loops) loop.join();
  stop = true;
  consul.join();
  hub.Shutdown();
  backend.Shutdown();
  scheduler.Stop();
}

}  // namespace
}  // namespace meshgate::server::auth
