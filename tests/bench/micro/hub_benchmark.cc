// The watch hub without a transport: telling readers of a change, and coming and going.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/watch/hub.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {
namespace {

using ::meshgate::testing::FakeBackend;
using ::meshgate::testing::ManualScheduler;
using ::meshgate::testing::SchedulerThread;

// Takes what there is as soon as it is told, as an outbox with an idle stream does.
class Reader final : public Subscriber {
 public:
  explicit Reader(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
  void Wake() override {
    if (subscription_ == nullptr) return;
    while (true) {
      static NextMemo memo;
      const auto message = subscription_->Next(&memo);
      if (!message.ok() || *message == nullptr) return;
      benchmark::DoNotOptimize((*message)->bytes.data());
    }
  }
  void Read(std::unique_ptr<Subscription> subscription) {
    subscription_ = std::move(subscription);
    Wake();
  }

 private:
  ReaderThread* const thread_;
  std::unique_ptr<Subscription> subscription_;
};

// One key with so many readers, on one thread.
class WatchedKey {
 public:
  explicit WatchedKey(int64_t readers) {
    for (int64_t i = 0; i < readers; ++i) readers_.push_back(Subscribe());
    Publish();
  }

  std::unique_ptr<Reader> Subscribe() {
    auto reader = std::make_unique<Reader>(&thread_);
    reader->Read(hub_.Subscribe({TargetKind::kKey, "bench/key", "", ""}, {}, std::nullopt, reader.get()));
    return reader;
  }

  void Publish() {
    // Past what paces the queries.
    scheduler_.Advance(absl::Seconds(1));
    ++index_;
    KvEntry entry;
    entry.key = "bench/key";
    entry.value = std::string(1024, static_cast<char>('a' + index_ % 26));
    entry.create_index = 1;
    entry.modify_index = index_;
    backend_.AnswerEntries(FakeBackend::Method::kReadKey, {std::move(entry)}, index_);
    scheduler_.RunReady();
  }

  void RunReady() { scheduler_.RunReady(); }

 private:
  ManualScheduler scheduler_;
  SchedulerThread thread_{&scheduler_};
  FakeBackend backend_{&scheduler_};
  WatchReporter reporter_;
  Hub hub_{&backend_, &scheduler_, &reporter_, HubOptions{}};
  // Their subscriptions end before the hub does.
  std::vector<std::unique_ptr<Reader>> readers_;
  uint64_t index_ = 1;
};

void HubPublish(benchmark::State& state) {
  WatchedKey key(state.range(0));
  for (auto _ : state) key.Publish();
  // Per reader and change.
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(HubPublish)->Arg(1)->Arg(100)->Arg(10000)->Arg(100000);

void HubSubscribeAndCancel(benchmark::State& state) {
  WatchedKey key(state.range(0));
  for (auto _ : state) {
    key.Subscribe();
    key.RunReady();
  }
}
BENCHMARK(HubSubscribeAndCancel)->Arg(1)->Arg(100000);

}  // namespace
}  // namespace meshgate::consul
