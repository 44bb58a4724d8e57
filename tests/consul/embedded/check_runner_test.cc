// What the keeper of checks reports while nobody records it.
#include "consul/embedded/check_runner.h"

#include <string>
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

  void OnStatus(const CheckRef&, Health health, std::string output, Done done) override {
    EXPECT_EQ(health, Health::kCritical);
    outputs_.push_back(std::move(output));
    reports_.push_back(std::move(done));
  }
  void OnCriticalTooLong(const CheckRef&) override { ++too_long_; }
  void OnRefused(const CheckRef& check, const std::string& why) override {
    refused_.push_back(check.registration->id + ": " + why);
  }

  // Of one check, which passes.
  void Start(CheckDefinition check, Health health = Health::kPassing) {
    auto registration = std::make_shared<Registration>();
    registration->id = registration->service = "web";
    registration->checks = {std::move(check)};
    auto record = std::make_shared<InstanceRecord>();
    record->registration = registration;
    record->checks = {{health, ""}};
    runner_.Start(record);
    record_ = record;
  }
  // The latest report was recorded.
  void Record() {
    auto record = std::make_shared<InstanceRecord>(*record_);
    record->checks = {{Health::kCritical, ""}};
    runner_.Update(record);
    reports_.back()();
  }

  testing::ManualScheduler scheduler_;
  Tasks tasks_{&scheduler_};
  testing::NoProber prober_;
  CheckRunner runner_{&tasks_, &prober_, this, CheckAllowList::OfThisHost()};
  std::vector<Done> reports_;
  std::vector<std::string> outputs_, refused_;
  int too_long_ = 0;
  SharedRecord record_;
};

// A list that is narrowed must not remove the instances that were registered before, nor must their checks just stop.
TEST_F(CheckRunnerTest, WhatIsRefusedIsSaidAndNotRemoved) {
  CheckDefinition check;
  check.interval = absl::Seconds(10);
  check.deregister_critical_after = absl::Minutes(1);
  // The prober fails it, as would the refusal, and nothing refuses it.
  check.probe = TcpProbe{"127.0.0.1:1"};
  Start(check);
  scheduler_.Advance(absl::Seconds(1));
  Record();
  scheduler_.Advance(absl::Minutes(2));
  EXPECT_GT(too_long_, 0);
  EXPECT_TRUE(refused_.empty());
  too_long_ = 0;
  const std::string why =
      "10.0.0.1 is not the instance's own address: give it as that, or have the gateway's "
      "--check_allow list it";
  check.probe = TcpProbe{"10.0.0.1:1"};
  for (const Health health : {Health::kPassing, Health::kCritical}) {
    reports_.clear();
    outputs_.clear();
    refused_.clear();
    Start(check, health);
    EXPECT_EQ(refused_, std::vector<std::string>{"web: " + why});
    scheduler_.Advance(absl::Seconds(1));
    if (health == Health::kPassing) {
      ASSERT_EQ(outputs_, std::vector<std::string>{why});
      Record();
    }
    scheduler_.Advance(absl::Hours(1));
    EXPECT_EQ(too_long_, 0);
    EXPECT_EQ(refused_.size(), 1u);
  }
}

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
