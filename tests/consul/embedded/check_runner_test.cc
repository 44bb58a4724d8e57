// What the keeper of checks reports while nobody records it.
#include "consul/embedded/check_runner.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/no_prober.h"

namespace meshgate::consul::embedded {
namespace {

class CheckRunnerTest : public ::testing::Test, public CheckRunner::Sink {
 protected:
  // Its timers refer to it.
  ~CheckRunnerTest() override { runner_.Shutdown(); }

  void OnStatus(const CheckRef&, Health health, std::string, Done done) override {
    EXPECT_EQ(health, Health::kCritical);
    reports_.push_back(std::move(done));
  }
  void OnCriticalTooLong(const CheckRef&) override {}

  // Of one check, which passes.
  void Start(CheckDefinition check) {
    auto registration = std::make_shared<Registration>();
    registration->id = registration->service = "web";
    registration->checks = {std::move(check)};
    auto record = std::make_shared<InstanceRecord>();
    record->registration = registration;
    record->checks = {{Health::kPassing, ""}};
    runner_.Start(record);
  }

  testing::ManualScheduler scheduler_;
  Tasks tasks_{&scheduler_};
  testing::NoProber prober_;
  CheckRunner runner_{&tasks_, &prober_, this, CheckAllowList::OfThisHost()};
  std::vector<Done> reports_;
};

// A disk that stalls for an hour would find hundreds of reports of each check in the queue.
TEST_F(CheckRunnerTest, OneReportAtATime) {
  CheckDefinition check;
  check.probe = TcpProbe{"127.0.0.1:1"};
  check.interval = absl::Seconds(10);
  Start(check);
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_EQ(reports_.size(), 1u) << "every probe fails";
  scheduler_.Advance(absl::Hours(1));
  EXPECT_EQ(reports_.size(), 1u);
  // It was lost: the next probe reports again.
  reports_[0]();
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_EQ(reports_.size(), 2u);
}

// After a lost report heartbeats would cost a write each, for good.
TEST_F(CheckRunnerTest, LostTtlReportIsOver) {
  CheckDefinition check;
  check.probe = TtlProbe{absl::Seconds(10)};
  Start(check);
  EXPECT_TRUE(runner_.Beat("web"));
  scheduler_.Advance(absl::Seconds(20));
  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_FALSE(runner_.Beat("web")) << "the end of the TTL is being recorded";
  reports_[0]();
  EXPECT_TRUE(runner_.Beat("web"));
  // And without further heartbeats it is reported again.
  scheduler_.Advance(absl::Seconds(20));
  EXPECT_EQ(reports_.size(), 2u);
}

}  // namespace
}  // namespace meshgate::consul::embedded
