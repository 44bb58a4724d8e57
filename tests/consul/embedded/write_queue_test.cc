// Writes on their way: batches, deadlines, cancelling.
#include "consul/embedded/write_queue.h"

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "gtest/gtest.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/pending.h"

namespace meshgate::consul::embedded {
namespace {

class WriteQueueTest : public ::testing::Test {
 protected:
  WriteQueueTest() {
    queue_->Start([this](const WriteQueue::Batch& batch) {
      batches_.push_back(batch.size());
      if (batches_.size() == 1) {
        entered_.set_value();
        release_.get_future().wait();
      }
      for (const auto& write : batch) queue_->Finish(*write, absl::OkStatus());
    });
  }
  ~WriteQueueTest() override {
    Release();
    queue_->Shutdown();
    scheduler_.RunReady();
  }

  CallHandle Add(testing::Pending<absl::Status>& done, absl::Duration timeout = absl::Seconds(10)) {
    return queue_->Add(
        1, timeout, [](Transaction&) { return absl::OkStatus(); }, done.Callback());
  }
  // Makes the writer busy with a first write until Release().
  void Occupy() {
    Add(first_);
    entered_.get_future().wait();
  }
  void Release() {
    if (!released_) release_.set_value();
    released_ = true;
  }
  // "OK", or the reason and the message of the error, or "nothing". To be asked once.
  static std::string Outcome(const testing::Pending<absl::Status>& done) {
    auto status = done.Get(absl::ZeroDuration());
    if (!status) return "nothing";
    return status->ok() ? "OK" : absl::StrCat(ReasonOf(*status), ": ", status->message());
  }
  static bool Has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

  testing::ManualScheduler scheduler_;
  Tasks tasks_{&scheduler_};
  std::shared_ptr<WriteQueue> queue_ = std::make_shared<WriteQueue>(&tasks_, 1000);
  // Written by the writer's thread, read after it has ended.
  std::vector<size_t> batches_;
  std::promise<void> entered_, release_;
  bool released_ = false;
  testing::Pending<absl::Status> first_;
};

// A flush per write would make the disk's latency the limit of throughput.
TEST_F(WriteQueueTest, WhatWaitsIsCommittedTogether) {
  Occupy();
  std::vector<testing::Pending<absl::Status>> waiting(100);
  for (auto& done : waiting) Add(done);
  Release();
  while (!waiting.back().ready()) scheduler_.RunReady();
  queue_->Shutdown();
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 100}));
  for (const auto& done : waiting) EXPECT_EQ(Outcome(done), "OK");
}

// A caller must get its answer by its deadline although the disk hangs, and learn whether the write may still happen.
TEST_F(WriteQueueTest, DeadlineWhileTheDiskHangs) {
  Occupy();
  testing::Pending<absl::Status> waiting;
  Add(waiting, absl::Seconds(1));
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(Outcome(waiting), "DEADLINE_EXCEEDED: the disk was busy with other writes; nothing was written");
  EXPECT_FALSE(first_.ready());
  scheduler_.Advance(absl::Seconds(9));
  EXPECT_EQ(Outcome(first_), "DEADLINE_EXCEEDED: the disk did not answer in time; the write may have been applied");
  Release();
  queue_->Shutdown();
  scheduler_.RunReady();
  EXPECT_EQ(first_.calls(), 1);
  EXPECT_EQ(waiting.calls(), 1);
  EXPECT_EQ(batches_, std::vector<size_t>{1}) << "what was given up is not written any more";
}

// A cancelled write must not be made; one that is being made is answered as it ends.
TEST_F(WriteQueueTest, CancelBeforeAndDuring) {
  testing::Pending<absl::Status> during;
  CallHandle running = Add(during);
  entered_.get_future().wait();
  testing::Pending<absl::Status> before;
  CallHandle waiting = Add(before);
  waiting->Cancel();
  waiting->Cancel();
  running->Cancel();
  scheduler_.RunReady();
  EXPECT_TRUE(Has(Outcome(before), reason::kCancelled));
  EXPECT_EQ(Outcome(during), "nothing");
  Release();
  queue_->Shutdown();
  scheduler_.RunReady();
  EXPECT_EQ(Outcome(during), "OK");
  EXPECT_EQ(before.calls(), 1);
  EXPECT_EQ(batches_, std::vector<size_t>{1});
}

// Shutting down must end what waits, and refuse what comes later.
TEST_F(WriteQueueTest, ShutdownEndsWhatWaits) {
  Occupy();
  testing::Pending<absl::Status> waiting, late;
  Add(waiting);
  std::thread shutdown([this] { queue_->Shutdown(); });
  while (!waiting.ready()) scheduler_.RunReady();
  EXPECT_TRUE(Has(Outcome(waiting), reason::kCancelled));
  Release();
  shutdown.join();
  Add(late);
  scheduler_.RunReady();
  EXPECT_TRUE(Has(Outcome(late), reason::kCancelled));
  EXPECT_EQ(Outcome(first_), "OK") << "what was being written is answered as it ended";
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

}  // namespace
}  // namespace meshgate::consul::embedded
