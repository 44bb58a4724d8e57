// Connections of one loop take turns, however much one of them asks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "server/wire/front.h"
#include "server/wire/stream.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {
namespace {

using ::testing::Contains;
using testing::H2Client;
using testing::H2Socket;

// What the loop does, in order, with a place where it stands until the test lets it go on.
class Course {
 public:
  explicit Course(std::string stop) : stop_(std::move(stop)) {}

  // The loop's thread.
  void Note(const std::string& step) {
    MutexLock lock(mu_);
    steps_.push_back(step);
    changed_.NotifyAll();
    while (step == stop_ && !goes_on_) changed_.Wait(mu_);
  }
  // The test's.
  bool WaitFor(const std::string& step) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    MutexLock lock(mu_);
    while (std::find(steps_.begin(), steps_.end(), step) == steps_.end()) {
      if (!changed_.WaitUntil(mu_, end)) return false;
    }
    return true;
  }
  void GoOn() {
    MutexLock lock(mu_);
    goes_on_ = true;
    changed_.NotifyAll();
  }
  std::vector<std::string> steps() {
    MutexLock lock(mu_);
    return steps_;
  }

 private:
  const std::string stop_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> steps_ ABSL_GUARDED_BY(mu_);
  bool goes_on_ ABSL_GUARDED_BY(mu_) = false;
};

// Notes what it is told. At /slow each message takes longer than a turn, by the loop's clock.
class NotedCall final : public Call {
 public:
  NotedCall(Stream* stream, testing::ManualScheduler* clock, Course* course)
      : slow_(stream->head().path == "/slow"), clock_(clock), course_(course) {}

  void OnMessage(std::string message) override {
    if (slow_) clock_->Advance(absl::Milliseconds(1));
    course_->Note(message.substr(0, message.find(' ')));
  }
  void OnHalfClose() override {}
  SharedBytes NextMessage() override { return nullptr; }
  Ending OnStalled(absl::Duration) override { return {14, "stalled", {}}; }
  void OnClosed(Why) override { course_->Note("end"); }

 private:
  const bool slow_;
  testing::ManualScheduler* const clock_;
  Course* const course_;
};

class TurnsTest : public ::testing::Test {
 protected:
  void Start(const std::string& stop) {
    course_ = std::make_unique<Course>(stop);
    options_.listen = {"127.0.0.1:0"};
    options_.threads = 1;
    auto front = Front::Start(options_, &clock_, &watches_, [this](Stream* stream) {
      return std::make_shared<NotedCall>(stream, &clock_, course_.get());
    });
    ASSERT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
  }
  // With the server's settings.
  std::unique_ptr<H2Socket> Connect() {
    auto peer = std::make_unique<H2Socket>(front_->addresses().at(0));
    EXPECT_TRUE(peer->Until([&] { return peer->client().settled(); }));
    return peer;
  }

  testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  FrontOptions options_;
  std::unique_ptr<Course> course_;
  std::unique_ptr<Front> front_;
};

// Would break if a few kilobytes that take long, because they are packed or many, held up all that share their thread.
TEST_F(TurnsTest, WhatTakesLongIsTakenInPieces) {
  Start("1");
  auto slow = Connect(), quick = Connect();
  const int32_t slow_call = slow->client().Begin(H2Client::Call("/slow"));
  const int32_t quick_call = quick->client().Begin(H2Client::Call("/quick"));
  quick->Deliver();
  // All of it is read at once.
  for (int i = 1; i <= 8; ++i) {
    slow->client().Send(slow_call, H2Client::Framed(std::to_string(i) + " " + std::string(1500, 'x')));
  }
  slow->Deliver();
  ASSERT_TRUE(course_->WaitFor("1"));
  quick->client().Send(quick_call, H2Client::Framed("quick"));
  quick->Deliver();
  course_->GoOn();
  ASSERT_TRUE(course_->WaitFor("8"));
  const std::vector<std::string> steps = course_->steps();
  EXPECT_THAT(std::vector<std::string>(steps.begin(), steps.begin() + 4), Contains("quick"))
      << ::testing::PrintToString(steps);
}

// Would break if thousands of calls that end with their connection held up all that share their thread.
TEST_F(TurnsTest, CallsEndSomeAtATime) {
  constexpr size_t kCalls = 2000;
  Start("end");
  auto many = Connect(), quick = Connect();
  const int32_t quick_call = quick->client().Begin(H2Client::Call("/quick"));
  quick->Deliver();
  int32_t last = 0;
  for (size_t i = 0; i < kCalls; ++i) last = many->client().Begin(H2Client::Call("/slow"));
  many->client().Send(last, H2Client::Framed("begun"));
  many->Deliver();
  ASSERT_TRUE(course_->WaitFor("begun"));
  many.reset();
  ASSERT_TRUE(course_->WaitFor("end"));
  quick->client().Send(quick_call, H2Client::Framed("quick"));
  quick->Deliver();
  course_->GoOn();
  ASSERT_TRUE(course_->WaitFor("quick"));
  const std::vector<std::string> steps = course_->steps();
  EXPECT_LT(static_cast<size_t>(std::find(steps.begin(), steps.end(), "quick") - steps.begin()), kCalls / 2);
  // The calls that were not told by then still are.
  quick.reset();
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
  EXPECT_EQ(course_->steps().size(), kCalls + 3);
}

}  // namespace
}  // namespace meshgate::server::wire
