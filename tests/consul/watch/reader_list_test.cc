#include "consul/watch/reader_list.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace meshgate::consul {
namespace {

using ::testing::_;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Pair;
using ::testing::SizeIs;

class Queue final : public ReaderThread {
 public:
  void Schedule(std::shared_ptr<Work> work) override { scheduled.push_back(std::move(work)); }
  std::vector<std::shared_ptr<Work>> scheduled;
};

class ReaderListTest : public ::testing::Test {
 protected:
  class Reader final : public Subscriber {
   public:
    Reader(ReaderThread* thread, int* turn) : member(this), thread_(thread), turn_(turn) {}
    ReaderThread* thread() override { return thread_; }
    void Wake() override {
      ++wakes;
      woken_at = (*turn_)++;
      if (on_wake) on_wake();
    }

    void PrepareToWake(int step) const override { prepared.emplace_back(step, *turn_); }

    ReaderList::Member member;
    std::function<void()> on_wake;
    int wakes = 0;
    // How many had been woken before it in this round.
    int woken_at = -1;
    // The steps, and when.
    mutable std::vector<std::pair<int, int>> prepared;

   private:
    ReaderThread* const thread_;
    int* const turn_;
  };

  Reader& Add() {
    readers_.push_back(std::make_unique<Reader>(&thread_, &turn_));
    list_->Add(&readers_.back()->member);
    return *readers_.back();
  }
  std::vector<int> wakes() const {
    std::vector<int> all;
    for (const auto& reader : readers_) all.push_back(reader->wakes);
    return all;
  }
  // Does what is scheduled, to its end. Returns in how many bits.
  int Drain() {
    int bits = 0;
    for (size_t i = 0; i < thread_.scheduled.size(); ++i) {
      do ++bits;
      while (thread_.scheduled[i]->Run());
    }
    thread_.scheduled.clear();
    return bits;
  }

  Queue thread_;
  int turn_ = 0;
  std::shared_ptr<ReaderList> list_ = std::make_shared<ReaderList>(&thread_);
  std::vector<std::unique_ptr<Reader>> readers_;
};

// Would break if a change cost more to tell the more there are to hear of it, or if one of them did not.
TEST_F(ReaderListTest, WordIsLeftOnceAndHeardByAll) {
  for (int i = 0; i < 100; ++i) Add();
  list_->WakeSoon();
  list_->WakeSoon();
  EXPECT_THAT(thread_.scheduled, SizeIs(1));
  EXPECT_GT(Drain(), 5) << "in bits, so that others have their turn";
  EXPECT_THAT(wakes(), Each(1));
  list_->WakeSoon();
  Drain();
  EXPECT_THAT(wakes(), Each(2));
}

// Would break if each of thousands were waited for until it has come from memory.
TEST_F(ReaderListTest, ThoseThatComeLaterArePreparedMeanwhile) {
  for (const size_t count : {2u, 7u, 8u, 9u, 15u, 16u, 17u, 23u, 24u, 25u, 100u}) {
    while (readers_.size() < count) Add();
    turn_ = 0;
    for (const auto& reader : readers_) reader->prepared.clear();
    list_->WakeSoon();
    Drain();
    for (const auto& reader : readers_) {
      ASSERT_THAT(reader->prepared, ElementsAre(Pair(0, _), Pair(1, _)));
      const int first = reader->prepared[0].second, second = reader->prepared[1].second;
      // Before anybody is woken there are no turns to count.
      EXPECT_EQ(first, std::max(0, reader->woken_at - 16));
      EXPECT_EQ(second, std::max(0, reader->woken_at - 8));
    }
  }
}

// Would break if a change that comes while the one before is being told were lost to those who were told already.
TEST_F(ReaderListTest, WordThatComesInBetweenIsHeardByAll) {
  for (int i = 0; i < 40; ++i) Add();
  list_->WakeSoon();
  ASSERT_TRUE(thread_.scheduled[0]->Run());
  list_->WakeSoon();
  EXPECT_THAT(thread_.scheduled, SizeIs(2));
  const std::vector<int> before = wakes();
  Drain();
  for (size_t i = 0; i < readers_.size(); ++i) EXPECT_GT(readers_[i]->wakes, before[i]);
  EXPECT_THAT(wakes(), Each(Le(2)));
}

// Would break if changes that come faster than they can be told kept some from ever being told, or the thread from
// anything else.
TEST_F(ReaderListTest, WordThatKeepsComingStarvesNobody) {
  for (int i = 0; i < 100; ++i) Add();
  list_->WakeSoon();
  const auto work = thread_.scheduled[0];
  int bits = 1;
  for (; work->Run(); ++bits) list_->WakeSoon();
  EXPECT_LE(bits, 100);
  EXPECT_THAT(wakes(), Each(1));
  EXPECT_THAT(thread_.scheduled, SizeIs(2));
}

// Would break if readers that come and go while others are woken made anybody miss it, or were woken when they are
// gone.
TEST_F(ReaderListTest, ReadersComeAndGoMeanwhile) {
  for (int i = 0; i < 64; ++i) Add();
  // The first in turn ends itself and one that waits for its own; the second lets somebody in.
  readers_[63]->on_wake = [this] {
    list_->Remove(&readers_[63]->member);
    list_->Remove(&readers_[3]->member);
  };
  readers_[62]->on_wake = [this] {
    if (readers_.size() == 64) Add();
  };
  list_->WakeSoon();
  Drain();
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(readers_[i]->wakes, i == 3 ? 0 : 1) << i;
  // Nor is one touched that has left, or is not due.
  EXPECT_THAT(readers_[3]->prepared, IsEmpty());
  EXPECT_THAT(readers_[64]->prepared, IsEmpty());
  EXPECT_THAT(readers_[63]->prepared, SizeIs(2));
  list_->WakeSoon();
  Drain();
  EXPECT_EQ(readers_[63]->wakes, 1);
  EXPECT_THAT(readers_[63]->prepared, SizeIs(2));
  EXPECT_EQ(readers_[64]->wakes, 1);
}

}  // namespace
}  // namespace meshgate::consul
