#include "server/stream/delivery_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace meshgate::server {
namespace {

using consul::TargetKind;
using ::testing::ElementsAre;

class Sent final : public metrics::RpcMethodReporter {
 public:
  void OnStarted() override {}
  void OnReceived() override {}
  void OnSent(int64_t messages) override { batches.push_back(messages); }
  void OnHandled(int, absl::Duration) override {}
  std::vector<int64_t> batches;
};

class Propagation final : public consul::WatchReporter {
 public:
  using Told = std::tuple<TargetKind, absl::Duration, int64_t>;
  void OnPropagation(TargetKind kind, absl::Duration took, int64_t readers) override {
    told.emplace_back(kind, took, readers);
  }
  std::vector<Told> told;
};

class DeliveryReportTest : public ::testing::Test {
 protected:
  const absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  const absl::Time change_ = now_ - absl::Milliseconds(3);
  Sent config_, registry_;
  Propagation watches_;
  DeliveryReport report_{&watches_};
};

// Would break if one change for thousands of readers cost the metrics as many observations, or some were not counted.
TEST_F(DeliveryReportTest, OneChangeIsOneObservation) {
  for (int i = 0; i < 1000; ++i) report_.Add(&config_, TargetKind::kKey, change_, now_);
  EXPECT_TRUE(config_.batches.empty());
  report_.Flush(now_ + absl::Milliseconds(1));
  EXPECT_THAT(config_.batches, ElementsAre(1000));
  EXPECT_THAT(watches_.told, ElementsAre(Propagation::Told(TargetKind::kKey, absl::Milliseconds(4), 1000)));
  report_.Flush(now_);
  EXPECT_EQ(config_.batches.size(), 1u);
}

// Would break if what differs were reported as one: another method, kind of target, or change.
TEST_F(DeliveryReportTest, WhatDiffersIsToldApart) {
  report_.Add(&config_, TargetKind::kKey, change_, now_);
  report_.Add(&config_, TargetKind::kPrefix, change_, now_);
  report_.Add(&config_, TargetKind::kPrefix, change_, now_);
  report_.Add(&config_, TargetKind::kPrefix, change_ - absl::Milliseconds(1), now_);
  report_.Add(&registry_, TargetKind::kService, change_, now_);
  report_.Flush(now_);
  EXPECT_THAT(config_.batches, ElementsAre(1, 2, 1));
  EXPECT_THAT(registry_.batches, ElementsAre(1));
  EXPECT_THAT(watches_.told, ElementsAre(Propagation::Told(TargetKind::kKey, absl::Milliseconds(3), 1),
                                         Propagation::Told(TargetKind::kPrefix, absl::Milliseconds(3), 2),
                                         Propagation::Told(TargetKind::kPrefix, absl::Milliseconds(4), 1),
                                         Propagation::Told(TargetKind::kService, absl::Milliseconds(3), 1)));
}

// Would break if snapshots for new readers and signs of life went into the metric that says how fast changes pass.
TEST_F(DeliveryReportTest, OnlyChangesHaveATime) {
  report_.Add(&config_, TargetKind::kKey, absl::InfinitePast(), now_);
  report_.Flush(now_);
  EXPECT_THAT(config_.batches, ElementsAre(1));
  EXPECT_TRUE(watches_.told.empty());
}

}  // namespace
}  // namespace meshgate::server
