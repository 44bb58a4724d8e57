#include "server/health_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using testing::FakeBackend;
using Method = FakeBackend::Method;
using Report = std::tuple<bool, bool, absl::Duration>;
using ::testing::ElementsAre;

class Recorder final : public consul::StoreReporter {
 public:
  void OnStoreHealth(bool up, bool known_leader, absl::Duration last_contact) override {
    reports.emplace_back(up, known_leader, last_contact);
  }
  std::vector<Report> reports;
};

class HealthMonitorTest : public ::testing::Test {
 protected:
  testing::ManualScheduler scheduler_;
  FakeBackend backend_{&scheduler_};
  Recorder recorder_;
  HealthMonitor monitor_{&backend_, &scheduler_, &recorder_};
};

// Would break if readiness and metrics did not follow what the store says, whichever way it fails.
TEST_F(HealthMonitorTest, FollowsTheStore) {
  EXPECT_FALSE(monitor_.Latest().asked);
  monitor_.Start();
  EXPECT_FALSE(monitor_.Latest().asked);
  ASSERT_TRUE(backend_.AnswerHealth({true, absl::Milliseconds(5)}));
  scheduler_.RunReady();
  EXPECT_TRUE(monitor_.Latest().asked && monitor_.Latest().up && monitor_.Latest().known_leader);
  scheduler_.Advance(absl::Seconds(2));
  ASSERT_TRUE(backend_.AnswerHealth({false, absl::ZeroDuration()}));
  scheduler_.RunReady();
  EXPECT_TRUE(monitor_.Latest().up);
  EXPECT_FALSE(monitor_.Latest().known_leader);
  scheduler_.Advance(absl::Seconds(2));
  ASSERT_TRUE(backend_.Fail(Method::kCheckHealth, absl::UnavailableError("refused")));
  scheduler_.RunReady();
  EXPECT_TRUE(monitor_.Latest().asked);
  EXPECT_FALSE(monitor_.Latest().up);
  EXPECT_THAT(recorder_.reports,
              ElementsAre(Report(true, true, absl::Milliseconds(5)), Report(true, false, absl::ZeroDuration()),
                          Report(false, false, absl::ZeroDuration())));
}

// Would break if questions piled up at a store that does not answer, or came faster than it is meant to be asked.
TEST_F(HealthMonitorTest, AsksOneQuestionAtATime) {
  monitor_.Start();
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(backend_.calls().size(), 1u);
  backend_.AnswerHealth({true, absl::ZeroDuration()});
  scheduler_.Advance(absl::Milliseconds(1999));
  EXPECT_EQ(backend_.calls().size(), 1u);
  scheduler_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(backend_.calls().size(), 2u);
}

// Would break if readiness lagged behind a change that is known, or asking at once let questions pile up.
TEST_F(HealthMonitorTest, AsksAtOnceWhenTold) {
  monitor_.Start();
  monitor_.AskNow();
  monitor_.AskNow();
  EXPECT_EQ(backend_.calls().size(), 1u);
  backend_.AnswerHealth({true, absl::ZeroDuration()});
  scheduler_.Advance(absl::ZeroDuration());
  EXPECT_EQ(backend_.calls().size(), 2u) << "the answer may have been given before the change";
  backend_.AnswerHealth({true, absl::ZeroDuration()});
  scheduler_.Advance(absl::Milliseconds(500));
  EXPECT_EQ(backend_.calls().size(), 2u);
  monitor_.AskNow();
  EXPECT_EQ(backend_.calls().size(), 3u);
  backend_.AnswerHealth({true, absl::ZeroDuration()});
  scheduler_.Advance(absl::Milliseconds(1999));
  EXPECT_EQ(backend_.calls().size(), 3u) << "the interval begins anew";
  scheduler_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(backend_.calls().size(), 4u);
}

// Would break if a stopped monitor asked a backend that is shutting down, or reported after its end.
TEST_F(HealthMonitorTest, StopsForGood) {
  monitor_.Start();
  monitor_.Stop();
  backend_.AnswerHealth({true, absl::ZeroDuration()});
  monitor_.AskNow();
  scheduler_.Advance(absl::Minutes(1));
  EXPECT_EQ(backend_.calls().size(), 1u);
  EXPECT_THAT(recorder_.reports, ElementsAre());
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

}  // namespace
}  // namespace meshgate::server
