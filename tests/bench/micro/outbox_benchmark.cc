// What the state machine of a stream takes for one message, between the hub and a transport that takes it at once.
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
  absl::StatusOr<consul::SharedMessage> Next() override {
    return std::exchange(*full_, false) ? message_ : consul::SharedMessage();
  }
  consul::SharedMessage Progress() override { return message_; }
  consul::TargetKind kind() const override { return consul::TargetKind::kKey; }

 private:
  bool* const full_;
  const consul::SharedMessage message_ =
      std::make_shared<const consul::Message>(consul::Message{std::string(1024, 'x'), absl::InfinitePast()});
};

class Transport final : public StreamWriter {
 public:
  void StartWrite(consul::SharedMessage message) override {
    benchmark::DoNotOptimize(message->bytes.data());
    outbox->OnWriteDone(true);
  }
  void Finish(const absl::Status& status) override {}

  Outbox* outbox = nullptr;
};

void OutboxMessage(benchmark::State& state) {
  meshgate::testing::ManualScheduler scheduler;
  consul::WatchReporter reporter;
  Transport transport;
  const auto outbox = std::make_shared<Outbox>(&transport, &scheduler, &reporter);
  transport.outbox = outbox.get();
  bool full = false;
  outbox->Start(std::make_unique<Source>(&full), absl::ZeroDuration());
  for (auto _ : state) {
    full = true;
    outbox->Wake();
  }
  outbox->OnCancelled();
}
BENCHMARK(OutboxMessage);

}  // namespace
}  // namespace meshgate::server
