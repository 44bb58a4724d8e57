// A keeper and the streams that hold instances with it.
#ifndef MESHGATE_TESTS_SERVER_HOLD_HOLD_KEEPER_FIXTURE_H_
#define MESHGATE_TESTS_SERVER_HOLD_HOLD_KEEPER_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "server/hold/hold_keeper.h"
#include "tests/server/hold/hold_harness.h"

namespace meshgate::server {

using consul::Health;

inline constexpr absl::Duration kLinger = absl::Seconds(10);

class Listener final : public HoldListener {
 public:
  void OnHoldChanged() override { ++changed; }
  void OnHoldEnded(absl::Status status) override {
    EXPECT_FALSE(ended.has_value()) << "ended twice";
    ended = std::move(status);
  }

  int changed = 0;
  std::optional<absl::Status> ended;
};

class HoldKeeperTest : public HoldHarness {
 protected:
  struct Stream {
    std::shared_ptr<Listener> listener = std::make_shared<Listener>();
    std::unique_ptr<Hold> hold;
  };

  Stream Open(const consul::Registration& registration = Web(), Health health = Health::kPassing) {
    Stream stream;
    stream.hold = keeper_.Take(PlanHold(registration), health, kLinger, stream.listener);
    scheduler_.RunReady();
    return stream;
  }
  Stream OpenRegistered() {
    Stream stream = Open();
    AnswerRegistration();
    return stream;
  }
  // Lets time pass in which every heartbeat is answered.
  void Live(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(100)) {
      scheduler_.Advance(absl::Milliseconds(100));
      while (Answer(Method::kHeartbeat)) {
      }
    }
  }
};

}  // namespace meshgate::server

#endif  // MESHGATE_TESTS_SERVER_HOLD_HOLD_KEEPER_FIXTURE_H_
