// What a stream takes for one message, between the hub and a transport that takes it at once.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>

#include "server/stream/outbox.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

// Has one message after each time that it was filled.
class Source final : public consul::Subscription {
 public:
  explicit Source(bool* full) : full_(full) {}
  absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo*) override {
    return std::exchange(*full_, false) ? message_ : consul::SharedMessage();
  }
  consul::SharedMessage Progress() override { return message_; }
  consul::TargetKind kind() const override { return consul::TargetKind::kKey; }

 private:
  bool* const full_;
  const consul::SharedMessage message_ =
      std::make_shared<const consul::Message>(consul::Message{std::string(1024, 'x'), absl::InfinitePast()});
};

// Runs what is scheduled at once, on the only thread there is.
class Transport final : public consul::ReaderThread, public Outbox::Listener {
 public:
  void Schedule(std::shared_ptr<consul::Work> work) override { work->Run(); }
  void OnReady() override {
    const Outbox::Taken taken = outbox->Take(&memo);
    if (taken.message != nullptr) benchmark::DoNotOptimize(taken.message->bytes.data());
  }

  Outbox* outbox = nullptr;
  consul::NextMemo memo;
};

void OutboxMessage(benchmark::State& state) {
  meshgate::testing::ManualScheduler scheduler;
  consul::WatchReporter reporter;
  Transport transport;
  const auto outbox = std::make_shared<Outbox>(&transport, &transport, &scheduler, &reporter);
  transport.outbox = outbox.get();
  consul::Subscriber& subscriber = *outbox;
  bool full = false;
  outbox->Start(std::make_unique<Source>(&full), absl::ZeroDuration());
  for (auto _ : state) {
    full = true;
    subscriber.Wake();
  }
  outbox->Close();
}
BENCHMARK(OutboxMessage);

}  // namespace
}  // namespace meshgate::server
