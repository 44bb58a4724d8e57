#ifndef MESHGATE_TESTS_SERVER_SERVICE_HANDLER_HARNESS_H_
#define MESHGATE_TESTS_SERVER_SERVICE_HANDLER_HARNESS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/errors.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "metrics/hold_reporter.h"
#include "server/hold/hold_keeper.h"
#include "server/service/call.h"
#include "server/service/config_handlers.h"
#include "server/service/registry_handlers.h"
#include "server/stream/outbox.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {

// The field that a BadRequest names; empty where there is none.
inline std::string BadFieldOf(const absl::Status& status) {
  auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest bad;
  if (!payload.has_value() || !bad.ParseFromString(std::string(*payload)) || bad.field_violations_size() != 1) {
    return "";
  }
  return bad.field_violations(0).field();
}

inline void ExpectBadField(const absl::Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(status.message().substr(0, field.size() + 2), field + ": ") << status;
  EXPECT_EQ(BadFieldOf(status), field);
  EXPECT_NE(ReasonOf(status), "");
}

// What a handler replied: nothing yet, or one answer. A second one fails the test.
template <typename Response>
class Answered {
 public:
  Reply<Response> reply() {
    return [held = held_](absl::StatusOr<Response> answer) {
      EXPECT_FALSE(held->has_value()) << "answered twice";
      *held = std::move(answer);
    };
  }
  bool pending() const { return !held_->has_value(); }
  absl::Status status() const { return pending() ? absl::UnknownError("not answered") : (*held_)->status(); }
  const Response& response() const { return (*held_)->value(); }

 private:
  std::shared_ptr<std::optional<absl::StatusOr<Response>>> held_ =
      std::make_shared<std::optional<absl::StatusOr<Response>>>();
};

// One stream: what it was given, and how it ended.
class RecordedStream {
 public:
  RecordedStream(Scheduler* scheduler, consul::WatchReporter* reporter) : stream_(&executor_, scheduler, reporter) {}

  const std::shared_ptr<Outbox>& outbox() const { return stream_.outbox(); }
  std::vector<std::string> written() {
    executor_.RunReady();
    return stream_.taken();
  }
  const std::optional<absl::Status>& end() {
    executor_.RunReady();
    return stream_.end();
  }

 private:
  testing::ManualExecutor executor_;
  testing::TakingStream stream_;
};

// Handlers on a real hub and a backend that the test answers.
class HandlerHarness : public ::testing::Test {
 protected:
  using Method = testing::FakeBackend::Method;

  ~HandlerHarness() override {
    holds_.Stop();
    hub_.Shutdown();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  // Takes the answers that were given to where they go.
  void Run() { scheduler_.RunReady(); }

  // What the latest call was made with.
  testing::FakeBackend::Arguments LastCall() const {
    const std::vector<testing::FakeBackend::Arguments> calls = backend_.calls();
    return calls.empty() ? testing::FakeBackend::Arguments() : calls.back();
  }

  // Lets every query of `method` fail until the hub calls its state stale. Takes 25 s, less than an unused state is
  // kept.
  void LoseConsul(Method method) {
    for (int i = 0; i < 5; ++i) {
      backend_.Fail(method, MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away"));
      scheduler_.Advance(absl::Seconds(5));
    }
  }

  testing::ManualScheduler scheduler_;
  testing::FakeBackend backend_{&scheduler_};
  consul::WatchReporter reporter_;
  consul::Hub hub_{&backend_, &scheduler_, &reporter_, consul::HubOptions()};
  ConfigHandlers config_{&backend_, &hub_};
  metrics::HoldReporter hold_reporter_;
  HoldKeeper holds_{&backend_, &scheduler_, &hold_reporter_, /*seed=*/1};
  RegistryHandlers registry_{&backend_, &hub_, &holds_};
  Caller caller_;
};

}  // namespace meshgate::server

#endif  // MESHGATE_TESTS_SERVER_SERVICE_HANDLER_HARNESS_H_
