#ifndef MESHGATE_TESTS_SERVER_HOLD_HOLD_HARNESS_H_
#define MESHGATE_TESTS_SERVER_HOLD_HOLD_HARNESS_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "consul/base/errors.h"
#include "gtest/gtest.h"
#include "metrics/hold_reporter.h"
#include "server/hold/hold_keeper.h"
#include "server/hold/hold_plan.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {

inline absl::Status ConsulIsAway() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away");
}
inline absl::Status NoSuchInstance() {
  return MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "no such instance");
}

class CountingReporter final : public metrics::HoldReporter {
 public:
  void OnHeld(int delta) override { held += delta; }
  void OnReregistered() override { ++reregistered; }

  std::atomic<int> held{0};
  std::atomic<int> reregistered{0};
};

class IgnoringListener final : public HoldListener {
 public:
  void OnHoldChanged() override {}
  void OnHoldEnded(absl::Status status) override { ended = std::move(status); }

  std::optional<absl::Status> ended;
};

// A keeper on a backend that the test answers.
class HoldHarness : public ::testing::Test {
 protected:
  using Method = testing::FakeBackend::Method;

  ~HoldHarness() override {
    keeper_.Stop();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  static consul::Registration Web(const std::string& id = "web-1") {
    consul::Registration registration;
    registration.id = id;
    registration.service = "web";
    registration.port = 80;
    return registration;
  }

  // Answers the oldest call of a method, and lets what follows from it happen.
  bool Answer(Method method, absl::Status status = absl::OkStatus()) {
    const bool answered = backend_.AnswerDone(method, std::move(status));
    scheduler_.RunReady();
    return answered;
  }
  // The registration and its first heartbeat.
  void AnswerRegistration() {
    ASSERT_TRUE(Answer(Method::kRegister));
    ASSERT_TRUE(Answer(Method::kHeartbeat));
  }
  size_t Pending() const { return backend_.pending().size(); }
  size_t Calls(Method method) const {
    size_t count = 0;
    for (const auto& call : backend_.calls()) count += call.method == method;
    return count;
  }
  testing::FakeBackend::Arguments LastCall() const { return backend_.calls().back(); }

  testing::ManualScheduler scheduler_;
  testing::FakeBackend backend_{&scheduler_};
  CountingReporter reporter_;
  HoldKeeper keeper_{&backend_, &scheduler_, &reporter_, /*seed=*/1};
};

}  // namespace meshgate::server

#endif  // MESHGATE_TESTS_SERVER_HOLD_HOLD_HARNESS_H_
